"""Layers whose variables have one row for each batch: they grow with the batches, and old rows can be kept.

A layer of any model family says so itself, by the parent :class:`BatchRows`; whoever adds batches finds it by that.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from discern.errors import ShapeError, counted


class BatchRows(ABC):
    """A second parent of a Keras layer that has variables whose axis 0 is the batch.

    The layer names them in :attr:`variables_with_batch_axis` and reads each of them through :meth:`rows`.
    """

    _n_frozen_batches = 0

    @property
    @abstractmethod
    def variables_with_batch_axis(self) -> Sequence[keras.Variable]:
        """The variables of the layer whose axis 0 is the batch."""

    def freeze_batches(self, n_batches: int) -> None:
        """Keep the rows of the first batches as they are now, to the bit, whatever the optimizer does.

        Their gradient is exactly 0, so that norms of gradients see only what is trained, and a constraint of the
        variable puts them back after every update: weight decay and averages change nothing. Call it before the
        model is compiled.

        Args:
            n_batches: How many batches; 0 frees all rows.

        Raises:
            ShapeError: There are fewer batches.
        """
        for variable in self.variables_with_batch_axis:
            if not 0 <= n_batches <= variable.shape[0]:
                raise ShapeError(
                    f"Cannot freeze {counted(n_batches, 'batch', 'batches')}: {variable.path} has "
                    f"{counted(variable.shape[0], 'row')}. "
                    "Give a number of batches that the layer has."
                )
        for variable in self.variables_with_batch_axis:
            constraint = variable.constraint
            if isinstance(constraint, FirstRowsStay):
                constraint = constraint.of_all_rows
            variable.constraint = FirstRowsStay(variable.numpy()[:n_batches], constraint) if n_batches else constraint
        self._n_frozen_batches = n_batches

    def rows(self, variable: keras.Variable) -> Any:
        """Return the values of a variable with a batch axis; no gradient reaches the rows of frozen batches."""
        n_frozen = self._n_frozen_batches
        if not n_frozen:
            return ops.convert_to_tensor(variable)
        return ops.concatenate([ops.stop_gradient(variable[:n_frozen]), variable[n_frozen:]])


class FirstRowsStay(keras.constraints.Constraint):
    """Puts the first rows of a variable back; Keras applies it after every update.

    Args:
        rows: Values of the first rows, (n_frozen_batches, …).
        of_all_rows: Another constraint of the variable, applied before.
    """

    def __init__(self, rows: np.ndarray, of_all_rows: Callable[[Any], Any] | None = None):
        self.rows = rows
        self.of_all_rows = of_all_rows

    def __call__(self, w: Any) -> Any:
        """Return the values ``w`` (n_batches, …) with the first rows as they were."""
        values = ops.convert_to_tensor(w if self.of_all_rows is None else self.of_all_rows(w))
        return ops.concatenate([ops.cast(self.rows, values.dtype), values[len(self.rows) :]])


def batch_rows_within(layer: keras.Layer) -> list[BatchRows]:
    """Return the layers with batch axes of a layer or model: itself, or any layer within it, however deep."""
    return [one for one in layer._flatten_layers() if isinstance(one, BatchRows)]


def layers_directly_within(layer: keras.Layer) -> Iterator[keras.Layer]:
    """Yield the layers that a layer or model is made of; what these are made of is not looked at."""
    yield from layer._flatten_layers(include_self=False, recursive=False)


def variables_with_batch_axis(model: keras.Model) -> tuple[keras.Variable, ...]:
    """Return the variables of a model whose axis 0 is the batch, in the order of its weights."""
    found = {id(variable) for layer in batch_rows_within(model) for variable in layer.variables_with_batch_axis}
    return tuple(variable for variable in model.weights if id(variable) in found)
