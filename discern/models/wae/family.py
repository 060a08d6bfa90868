"""DISCERN's Wasserstein auto-encoder as a model family."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from discern.io.published_cells import as_autoencoder_input
from discern.io.transform import InputTransform
from discern.models.contract import DataDescription, Decoded, Latent, ModelFamily
from discern.models.wae.config import WAEConfig
from discern.models.wae.networks import MMD, WAE, create_decoder, create_encoder, create_model
from discern.models.wae.objective import WAEObjective
from discern.models.wae.published_file import is_published_file, read_published_model, set_published_weights

_LOGGER = logging.getLogger(__name__)
_FAR_FROM_PRIOR = 1.0  # codes that are all one point have 1.3, codes far apart from each other and the prior 2.5
_NOT_NEGATIVE = {"softmax", "LSN", "sigsoftmax", "relu", "relu6", "softplus", "sigmoid", "hard_sigmoid", "exponential"}


class WAEFamily(ModelFamily):
    """Encodes, decodes and projects; reads scaled log expression."""

    name = "wae"
    output_space = "log1p of library-size-normalised counts"
    config: WAEConfig

    @classmethod
    def from_foreign_file(cls, path: Path, data: DataDescription | None, seed: int) -> "WAEFamily | None":
        """Return a model saved by the published program."""
        if not is_published_file(path):
            return None
        published = read_published_model(path)
        batches = tuple(map(str, range(published.n_batches))) if data is None else data.batches
        transform = InputTransform(log=True) if data is None else data.transform
        description = DataDescription(published.n_genes, batches, published.n_train_cells, transform)
        family = cls(published.config, description, seed)
        set_published_weights(family.model, published)
        return family

    def build(self, seed: int) -> WAE:
        """Return the auto-encoder of the configured size."""
        config, data = self.config, self.data
        encoder_seed, decoder_seed, model_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(3))
        encoder = create_encoder(
            config.latent_dim,
            config.encoder.layers,
            config.encoder.normalisations,
            config.activation_fn,
            data.n_genes,
            data.n_batches,
            config.encoder.regularization,
            config.encoder.conditional_regularization,
            hidden_counts=config.encoder.hidden_counts,
            zeros=data.transform.zeros(data.n_genes),
            seed=encoder_seed,
        )
        decoder = create_decoder(
            config.latent_dim,
            data.n_genes,
            config.decoder.layers,
            config.decoder.normalisations,
            config.activation_fn,
            config.output_fn,
            data.n_batches,
            config.decoder.regularization,
            data.transform.library_size,
            config.decoder.conditional_regularization,
            seed=decoder_seed,
        )
        return create_model(encoder, decoder, data.n_train_cells, seed=model_seed)

    @property
    def encoder(self) -> keras.Model:
        """(expression, source batch) → (latent mean, latent log standard deviation)."""
        return self.model.get_layer("encoder")

    @property
    def decoder(self) -> keras.Model:
        """(latent, target batch) → (scaled expression, P(count > 0))."""
        return self.model.get_layer("decoder")

    def transform(self) -> InputTransform:
        """Return the scaling that preprocessing recorded."""
        return self.data.transform

    def model_input(self, minibatch: Mapping[str, Any]) -> tuple[Any, Any]:
        """Reconstruct the input in its own batch."""
        return as_autoencoder_input(dict(minibatch))

    def compile(
        self, optimizer: keras.Optimizer, jit_compile: bool, reconstruction_weight: float | None = None
    ) -> None:
        """Make the model ready for ``fit``.

        Args:
            optimizer: A Keras optimizer.
            jit_compile: Compile the training step with XLA.
            reconstruction_weight: In place of the configured weight.
        """
        if self.config.output_fn in _NOT_NEGATIVE and self.data.transform.scaling is not None:
            _LOGGER.warning(
                "output_fn '%s' gives no negative values, but the data are scaled and hold some: leave out "
                "input_ds.scale.fixed_scaling, or set output_fn to null.",
                self.config.output_fn,
            )
        zeros = self.data.transform.zeros(self.data.n_genes)
        if self.config.encoder.hidden_counts:
            self.encoder.get_layer("hidden_counts").zeros = zeros  # networks may be built before the data are known
        objective = WAEObjective(self.config, zeros, reconstruction_weight)
        self.model.compile_objective(objective, optimizer, jit_compile)

    def doubts(self, epoch: Mapping[str, float]) -> Sequence[str]:
        """Doubt a latent space that is nowhere near the prior."""
        distance = epoch.get(f"val_{MMD}_loss", 0.0)
        if not self.config.wae_lambda or distance < _FAR_FROM_PRIOR:
            return ()
        return (
            f"The latent codes are far from their prior (val_{MMD}_loss {distance:.2f}; a trained model has 0.02 to 0.5), so "
            "the model may have learned little of the cells. The first steps were probably too large: lower "
            "training.optimizer.learning_rate, or set training.optimizer.degenerated_to_sgd to false, and train anew.",
        )

    def encode(self, expression: np.ndarray, source_batch: np.ndarray) -> Latent:
        """Encode scaled cells; the latent mean is what gets decoded."""
        return Latent(*self.encoder.predict_on_batch([expression, source_batch]))

    def decode(self, latent_mean: np.ndarray, target_batch: np.ndarray) -> Decoded:
        """Decode to unscaled expression, clipped at 0."""
        scaled, probability = self.decoder.predict_on_batch([latent_mean, target_batch])
        scaling = self.data.transform.scaling
        expression = scaled if scaling is None else scaling.unscale(scaled)
        return Decoded(np.clip(expression, 0.0, None), probability)
