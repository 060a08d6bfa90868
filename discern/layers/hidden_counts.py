"""Counts that an encoder does not see while training, so that it learns to tell cells by what is left."""

from typing import Any

import keras
import numpy as np
from keras import ops

from discern.layers.replicas import own_rows


@keras.saving.register_keras_serializable(package="discern")
class HiddenCounts(keras.layers.Layer):
    """Takes genes for not seen while training: a cell's share is drawn evenly from 0 to ``most``, then each gene alone.

    Shallow cells miss what deep cells of the same kind show. An encoder that reads both as they are has little reason to
    give them the same code; one that was trained on thinned cells has. The decoder is still held to the whole cell.

    Args:
        most: Largest share of genes that is hidden, in [0, 1).
        zeros: What a count of zero reads like, (n_genes,).
        seed: Start of the random stream; None takes a random start.
        **kwargs: Arguments of every Keras layer.

    Source:
        Vincent et al. 2008, Extracting and composing robust features with denoising autoencoders.
    """

    def __init__(self, most: float, zeros: Any, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= most < 1.0:
            raise ValueError(f"The largest share of hidden genes is at least 0 and below 1; received {most}.")
        self.most = most
        self.zeros = np.asarray(zeros, dtype=np.float32)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the cells, (n_cells, n_genes), with genes hidden while training."""
        if not training or not self.most:
            return inputs
        return ops.where(own_rows(self._hidden, ops.shape(inputs)[0]), ops.cast(self.zeros, inputs.dtype), inputs)

    def _hidden(self, n_cells: Any) -> Any:
        """Draw what is hidden of so many cells, bool (n_cells, n_genes)."""
        share = keras.random.uniform((n_cells, 1), maxval=self.most, dtype="float32", seed=self.seed_generator)
        return keras.random.uniform((n_cells, len(self.zeros)), dtype="float32", seed=self.seed_generator) < share

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the cells."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "most": self.most, "zeros": self.zeros.tolist(), "seed": self.seed}
