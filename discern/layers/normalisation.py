"""Normalisation with and without a shift per batch; the entries of ``registry.NORMALISATIONS``.

Every function takes ``(cells, labels, size, regularization, name)`` and is used while a functional model is built:
``cells`` is the output of a bias-free Dense, (n_cells, size); ``labels`` says to which batch each cell belongs,
(n_cells, n_batches), rows may be fractional. The result has the shape of ``cells``.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, ops

from discern.layers.batch_rows import BatchRows

_EPSILON = 1e-3


@keras.saving.register_keras_serializable(package="discern")
class BatchConditionalShift(BatchRows, keras.layers.Dense):
    """A learned shift for each batch: Dense of the one-hot labels, no bias, starting at zero.

    Axis 0 of the kernel, (n_batches, size), is the batch axis. These kernels are the only weights of a network that
    have one: online training adds rows for new batches.

    The regularizer acts on the *output* of the layer (published behaviour). Keras divides an activity penalty by the
    number of cells in the minibatch, as Keras of TensorFlow 2.1 did: the added loss is Σ penalty(shift) / n_cells.

    Args:
        units: Number of features that are shifted.
        **kwargs: Arguments of every Keras layer.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **{**kwargs, "use_bias": False, "kernel_initializer": "zeros"})

    @property
    def variables_with_batch_axis(self) -> Sequence[keras.Variable]:
        """The kernel."""
        return (self.kernel,)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the shifts, (n_cells, units), from labels (n_cells, n_batches), whose rows may be fractional."""
        return ops.matmul(inputs, self.rows(self.kernel))


def layer_norm(
    cells: KerasTensor,
    labels: KerasTensor,
    size: int,
    regularization: keras.Regularizer | None = None,
    name: str | None = None,
) -> KerasTensor:
    """Normalise each cell over its ``size`` features: (x − mean) / √(variance + 1e-3), nothing learned.

    Args:
        cells: (n_cells, size).
        labels: Not used.
        size: Not used.
        regularization: Not used.
        name: Prefix of the layer name; None lets Keras choose.
    """
    norm = keras.layers.LayerNormalization(
        epsilon=_EPSILON, center=False, scale=False, trainable=False, name=_suffixed(name, "norm")
    )
    return norm(cells)


def batch_norm(
    cells: KerasTensor,
    labels: KerasTensor,
    size: int,
    regularization: keras.Regularizer | None = None,
    name: str | None = None,
) -> KerasTensor:
    """Divide by √1.001: batch normalisation whose moving statistics stay at mean 0, variance 1 (published behaviour).

    Args:
        cells: (n_cells, size).
        labels: Not used.
        size: Not used.
        regularization: Not used.
        name: Prefix of the layer name; None lets Keras choose.
    """
    norm = keras.layers.BatchNormalization(
        epsilon=_EPSILON, center=False, scale=False, trainable=False, name=_suffixed(name, "norm")
    )
    # training=False too: setting `trainable` on a whole model later must not start the moving statistics
    return norm(cells, training=False)


def conditional_layer_norm(
    cells: KerasTensor,
    labels: KerasTensor,
    size: int,
    regularization: keras.Regularizer | None = None,
    name: str | None = None,
) -> KerasTensor:
    """Apply :func:`layer_norm`, then add a learned shift for each batch.

    Args:
        cells: (n_cells, size).
        labels: Batch of each cell, (n_cells, n_batches).
        size: Number of features.
        regularization: Penalty on the shifts; divided by the minibatch size, see :class:`BatchConditionalShift`.
        name: Prefix of the layer names; None lets Keras choose.
    """
    return _shifted(layer_norm(cells, labels, size, name=name), labels, size, regularization, name)


def conditional_batch_norm(
    cells: KerasTensor,
    labels: KerasTensor,
    size: int,
    regularization: keras.Regularizer | None = None,
    name: str | None = None,
) -> KerasTensor:
    """Apply :func:`batch_norm`, then add a learned shift for each batch, as :func:`conditional_layer_norm` does."""
    return _shifted(batch_norm(cells, labels, size, name=name), labels, size, regularization, name)


def condlayernorm(
    input_cells: KerasTensor, labels: KerasTensor, size: int, regularization: keras.Regularizer | None = None
) -> KerasTensor:
    """Hand on to :func:`conditional_layer_norm` (the published name)."""
    return conditional_layer_norm(input_cells, labels, size, regularization)


def _shifted(
    normalised: KerasTensor,
    labels: KerasTensor,
    size: int,
    regularization: keras.Regularizer | None,
    name: str | None,
) -> KerasTensor:
    shift = BatchConditionalShift(size, activity_regularizer=regularization, name=_suffixed(name, "batch"))
    return keras.layers.Add(name=_suffixed(name, "shifted"))([normalised, shift(labels)])


def _suffixed(name: str | None, suffix: str) -> str | None:
    return None if name is None else f"{name}_{suffix}"
