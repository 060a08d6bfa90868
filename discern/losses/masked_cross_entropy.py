"""Cross entropy of the dropout head: is the count of a gene zero or not?"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from discern.compiled_regions import in_one_pass

_EPSILON = 1e-7


@keras.saving.register_keras_serializable(package="discern")
class MaskedCrossEntropy(keras.losses.Loss):
    """Binary cross entropy between P(count > 0) and whether the expression differs from that of a zero count.

    The target is min(1 + lower_label_smoothing − [|expression − zeros| <= zeros_eps], 1): 1 where there was a
    count, ``lower_label_smoothing`` where there was none.

    Probabilities are clipped to [1e-7, 1 − 1e-7] and 1e-7 is added inside both logarithms, as Keras of TensorFlow 2.1
    did: the loss is at most 15.4 for a gene, finite at 0 and 1, and its gradient is 0 in the clipped part.

    Args:
        zeros: The scaled value of a zero count, a number or (n_genes,).
        zeros_eps: Distance from ``zeros`` up to which a value counts as zero.
        lower_label_smoothing: Target of zero counts, in [0, 1].
        label_smoothing: Pulls both targets towards 0.5 by this share, in [0, 1].
        reduction: How Keras reduces the cells' values; by default their mean.
        name: Name of the loss.
    """

    def __init__(
        self,
        zeros: ArrayLike,
        zeros_eps: float = 1e-6,
        lower_label_smoothing: float = 0.0,
        *,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "masked_cross_entropy",
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        self.zeros = np.asarray(zeros, dtype=np.float32)
        self.zeros_eps = zeros_eps
        self.lower_label_smoothing = lower_label_smoothing
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any, measured: Any = None) -> Any:
        """Return the mean over genes for each cell, (n_cells,).

        Args:
            y_true: Scaled expression, (n_cells, n_genes).
            y_pred: P(count > 0), same shape.
            measured: 1 for genes that were measured, 0 for others, same shape: these add nothing to the sum, which is
                still divided by all genes. All were when None.
        """
        return in_one_pass(lambda probability: self._of_cells(y_true, probability, measured), y_pred)

    def _of_cells(self, y_true: Any, y_pred: Any, measured: Any) -> Any:
        target = self.targets(y_true)
        probability = ops.clip(y_pred, _EPSILON, 1.0 - _EPSILON)
        positive = target * ops.log(probability + _EPSILON)
        negative = (1.0 - target) * ops.log(1.0 - probability + _EPSILON)
        likelihood = positive + negative
        return -ops.mean(likelihood if measured is None else ops.multiply(likelihood, measured), axis=-1)

    def targets(self, expression: Any) -> Any:
        """Return the smoothed targets, (n_cells, n_genes), of scaled expression of that shape."""
        is_zero = ops.cast(ops.absolute(expression - self.zeros) <= self.zeros_eps, expression.dtype)
        target = ops.minimum(1.0 + self.lower_label_smoothing - is_zero, 1.0)
        return target * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "zeros": self.zeros.tolist(),
            "zeros_eps": self.zeros_eps,
            "lower_label_smoothing": self.lower_label_smoothing,
            "label_smoothing": self.label_smoothing,
        }
