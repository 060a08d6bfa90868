"""Dropout that several devices can share."""

from typing import Any

import keras
from keras import ops

from discern.layers.replicas import n_replicas, own_rows


@keras.saving.register_keras_serializable(package="discern")
class SharedDropout(keras.layers.Dropout):
    """Keras' dropout; on several devices each takes its cells of the mask that one device would draw.

    Keras' own layer would drop the same units of the first cell on every device.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the cells (n_cells, n_units), with units dropped while training."""
        if not training or not self.rate or n_replicas() == 1:
            return super().call(inputs, training=training)
        n_units = inputs.shape[-1]
        # dropping units of ones gives the mask with its scale
        return inputs * own_rows(
            lambda n_cells: keras.random.dropout(
                ops.ones((n_cells, n_units), inputs.dtype), self.rate, seed=self.seed_generator
            ),
            ops.shape(inputs)[0],
        )
