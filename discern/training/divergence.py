"""Training ends when a value is no longer finite, and says which term broke, where, and on which cells."""

from typing import Any

import keras
import numpy as np
from keras import ops

from discern.errors import DivergenceError
from discern.training.suspicious_cells import SuspiciousCells

_MINIBATCHES_BETWEEN_CHECKS = 20


class StopOnDivergence(keras.callbacks.Callback):
    """Raise :class:`DivergenceError` as soon as a logged term is not finite.

    Reading a value waits for the device, hence not after every minibatch. The means stand still once one of them is
    not finite (:class:`~discern.models.termwise.TermwiseModel`), so a late check still tells the minibatch.
    """

    def __init__(self, cells: SuspiciousCells | None = None) -> None:
        """Remember where to look for cells to blame.

        Args:
            cells: Reads minibatches again; without it no cells are named.
        """
        super().__init__()
        self._cells = cells
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember the epoch for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Check the running means; those of the last minibatch too, as validation resets them."""
        if batch % _MINIBATCHES_BETWEEN_CHECKS == 0 or batch + 1 == (self.params or {}).get("steps"):
            broken = _not_finite(logs)
            if broken:
                step = self._first_broken(batch + 1)
                cells = self._cells.before(self._epoch, step) if self._cells else ""
                self._stop(f"minibatch {step} of epoch {self._epoch + 1}", broken, cells)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Check the means of the epoch."""
        broken = _not_finite(logs)
        if broken:
            only_validation = all(name.startswith("val_") for name in broken)
            cells = self._cells.of_validation() if self._cells and only_validation else ""
            self._stop(f"epoch {epoch + 1}", broken, cells)

    def _first_broken(self, step: int) -> int:
        """Return the number of the first minibatch that was not finite, at most ``step``."""
        means = getattr(self.model, "term_means", None)
        if not means or self._cells is None:
            return step
        size = min(self._cells.batch_size, self._cells.train.n_cells)
        n_cells = float(ops.add(means[0].count, 0.0))  # up to that minibatch
        return min(step, max(1, round(n_cells / size)))

    def _stop(self, where: str, broken: list[str], cells: str) -> None:
        terms = [name for name in broken if name not in {"loss", "val_loss"}] or broken
        terms = [name for name in terms if not name.startswith("val_")] or terms  # they follow those of training
        kept = "The best weights so far are kept." if self._epoch else "No weights were saved yet."
        if cells:
            mend = f"The input can be to blame: {cells}. Check these cells in the input, or filter them out."
        else:
            mend = "Lower training.optimizer.learning_rate or the weight of that term, or check the input."
        raise DivergenceError(f"Training diverged in {where}: {', '.join(terms)} is not finite. {kept} {mend}")


def _not_finite(logs: Any) -> list[str]:
    return [name for name, value in (logs or {}).items() if not np.isfinite(float(value))]
