"""Penalty that keeps the encoder from becoming deterministic."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="discern")
class SigmaRegularization(keras.layers.Layer):
    """n_latent · mean over dimensions of |latent_log_std|, which is their sum, for each cell.

    A log standard deviation is pulled towards 0, a standard deviation towards 1. Always computed in float32.

    Args:
        **kwargs: Arguments of every Keras layer.

    Source:
        Rubenstein et al. 2018, On the Latent Space of Wasserstein Auto-Encoders.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, latent_log_std: Any) -> Any:
        """Return the penalty of each cell, (n_cells,), from ``latent_log_std``, (n_cells, n_latent)."""
        return ops.sum(ops.absolute(latent_log_std), axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input without its last axis."""
        return tuple(input_shape[:-1])
