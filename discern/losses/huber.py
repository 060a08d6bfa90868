"""Huber loss."""

from typing import Any

import keras
from keras import ops

from discern.compiled_regions import in_one_pass


@keras.saving.register_keras_serializable(package="discern")
class HuberLoss(keras.losses.Loss):
    """Plain mean over genes of the Huber function: error²/2 up to ``delta``, then delta · |error| − delta²/2.

    Args:
        delta: Error at which the square turns into a straight line, > 0.
        reduction: How Keras reduces the cells' values; by default their mean.
        name: Name of the loss.
    """

    def __init__(self, delta: float = 1.0, reduction: str = "sum_over_batch_size", name: str = "huber_loss") -> None:
        super().__init__(name=name, reduction=reduction)
        self.delta = delta

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each cell, (n_cells,), from two arrays (n_cells, n_genes)."""
        return in_one_pass(lambda predicted: self._of_cells(y_true, predicted), y_pred)

    def _of_cells(self, y_true: Any, y_pred: Any) -> Any:
        error = ops.absolute(y_pred - y_true)
        quadratic = ops.minimum(error, self.delta)  # both branches at once: quadratic is delta in the straight part
        return ops.mean(quadratic * (error - 0.5 * quadratic), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "delta": self.delta}
