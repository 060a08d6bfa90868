"""Which cells of a minibatch hold values that can break training; looked for after it broke only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from discern.io.cell_sources import CellSource
from discern.io.minibatches import densified, sparse_training_minibatches
from discern.io.transform import InputTransform

_LARGEST_COUNT = 2.0**31
_LARGEST_EXPRESSION = 1e6  # as a network reads it; log1p of counts stays below 22, scaled values are of the order of 1
_MINIBATCHES_BEFORE = 20
_NAMED = 5


@dataclass(frozen=True)
class SuspiciousCells:
    """Reads minibatches of a training once more and describes their suspicious cells.

    Attributes:
        train: Cells to train on.
        valid: Cells to validate on.
        transform: What the family reads.
        batches: Names of the batches.
        batch_size: Cells per minibatch.
        seed: Drove the order of the training cells.
    """

    train: CellSource
    valid: CellSource
    transform: InputTransform
    batches: Sequence[str]
    batch_size: int
    seed: int

    def before(self, epoch: int, step: int) -> str:
        """Describe those of a training minibatch, else of the last one before that has any; empty when none has.

        Args:
            epoch: Number of the epoch, from 0.
            step: Number of the minibatch within the epoch, from 1.
        """
        first = max(1, step - _MINIBATCHES_BEFORE)
        minibatches = sparse_training_minibatches(self.train, self.batch_size, self.seed, epoch)
        found = [self._of(cells, self.train) for cells in minibatches.skip(first - 1).take(step - first + 1)]
        last = max((number for number, cells in enumerate(found, start=first) if cells), default=0)
        return f"in minibatch {last}, {_joined(found[last - first])}" if last else ""

    def of_validation(self) -> str:
        """Describe those of the cells to validate on; empty when there are none."""
        found = [one for cells in self.valid.in_order(self.batch_size) for one in self._of(cells, self.valid)]
        return f"among the cells to validate on, {_joined(found)}" if found else ""

    def _of(self, cells: dict[str, tf.Tensor], source: CellSource) -> list[str]:
        library_size, splits = cells["library_size"].numpy(), cells["splits"].numpy()
        counts = [cells["value"].numpy()[start:stop] for start, stop in zip(splits[:-1], splits[1:], strict=True)]
        with np.errstate(invalid="ignore"):
            expression = np.abs(densified(cells, source, self.transform)["expression"].numpy()).max(axis=1)
            wrong = ~np.isfinite(library_size) | (library_size <= 0) | ~(expression <= _LARGEST_EXPRESSION)
            wrong |= [not ((of_cell >= 0) & (of_cell <= _LARGEST_COUNT)).all() for of_cell in counts]
        return [
            f"a cell of batch {self._batch(int(cells['batch'][cell]))} with library size {library_size[cell]:g}, "
            f"largest count {counts[cell].max(initial=0):g} and largest value after scaling {expression[cell]:.3g}"
            for cell in np.flatnonzero(wrong)
        ]

    def _batch(self, code: int) -> str:
        return f"'{self.batches[code]}'" if 0 <= code < len(self.batches) else str(code)


def _joined(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - _NAMED} more" if len(cells) > _NAMED else ""
    return "; ".join(cells[:_NAMED]) + more
