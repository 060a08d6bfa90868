"""Sampling of the latent code."""

from typing import Any

import keras
from keras import ops

from discern.layers.replicas import own_rows


@keras.saving.register_keras_serializable(package="discern")
class GaussianReparametrization(keras.layers.Layer):
    """Draw from N(mean, exp(log_std)²) while training; return the mean otherwise.

    Args:
        seed: Start of the layer's own random stream; None takes a random start.
        **kwargs: Arguments of every Keras layer.

    Source:
        Kingma and Welling 2014, Auto-Encoding Variational Bayes.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: list[Any], training: bool | None = None) -> Any:
        """Return latent codes, (n_cells, n_latent).

        Args:
            inputs: latent_mean and latent_log_std (natural log), (n_cells, n_latent) each.
            training: Whether to draw.
        """
        latent_mean, latent_log_std = inputs
        if not training:
            return latent_mean
        n_cells, n_latent = ops.shape(latent_mean)
        noise = own_rows(
            lambda n: keras.random.normal((n, n_latent), dtype=self.compute_dtype, seed=self.seed_generator), n_cells
        )
        return latent_mean + noise * ops.exp(latent_log_std)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return the shape of the mean."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "seed": self.seed}
