"""Lp distance."""

from typing import Any

import keras
from keras import ops

from discern.errors import ParametersError


@keras.saving.register_keras_serializable(package="discern")
class Lnorm(keras.losses.Loss):
    """Sum over ``axis`` of |y_true − y_pred|^p, or the p-th root of that sum plus ``epsilon``.

    Args:
        p: Exponent, >= 1.
        name: Name of the loss.
        reduction: How Keras reduces the sums; by default their mean.
        axis: Axis summed over: 0 gives one value for each gene (published default), -1 one for each cell.
        epsilon: Keeps the slope of the root finite at 0.
        use_root: Take the root; without effect for p = 1.

    Raises:
        ParametersError: ``p`` is below 1.
    """

    def __init__(
        self,
        p: float,
        name: str = "Lnorm",
        reduction: str = "sum_over_batch_size",
        axis: int = 0,
        epsilon: float = 1e-20,
        use_root: bool = False,
    ) -> None:
        if p < 1:
            raise ParametersError(f"Lnorm needs an exponent p >= 1, received {p}. Use 1 or 2.")
        super().__init__(name=name, reduction=reduction)
        self.p = p
        self.axis = axis
        self.epsilon = epsilon
        self.use_root = use_root

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the sums over ``axis``, from two arrays (n_cells, n_genes)."""
        total = ops.sum(self._powers(y_true - y_pred), axis=self.axis)
        if not self.use_root or self.p == 1:
            return total
        if self.p == 2:
            return ops.sqrt(total + self.epsilon)
        return ops.power(total + self.epsilon, 1.0 / self.p)

    def _powers(self, error: Any) -> Any:
        if self.p == 2:
            return ops.square(error)
        if self.p == 1:
            return ops.absolute(error)
        return ops.power(ops.absolute(error), self.p)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        own = {"p": self.p, "axis": self.axis, "epsilon": self.epsilon, "use_root": self.use_root}
        return {**super().get_config(), **own}
