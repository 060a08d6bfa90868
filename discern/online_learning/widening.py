"""Carry the weights of a trained model over into one with more batches, and freeze what is to stay."""

import keras
import numpy as np

from discern.errors import ParametersError, ShapeError
from discern.layers.batch_rows import (
    BatchRows,
    batch_rows_within,
    layers_directly_within,
    variables_with_batch_axis,
)
from discern.models.contract import ModelFamily
from discern.training.config import FreezeMode, NewRows


def widen(old: ModelFamily, new: ModelFamily, *, new_rows: NewRows = "zeros", freeze_mode: FreezeMode = "none") -> None:
    """Copy all weights of a trained model into one of the same design with as many batches or more.

    The first rows of every variable with a batch axis come from the trained model. Nothing is changed when the models
    do not fit.

    Args:
        old: The trained model.
        new: Receives the weights; compile it afterwards.
        new_rows: Rows of new batches: ``zeros`` keeps the values of ``new``, which starts at zero; ``mean`` is the
            mean of the rows of ``old``.
        freeze_mode: ``none``; ``conditional``: only variables with a batch axis stay trainable; ``new-batches``: only
            the rows of new batches, so that cells of old batches are encoded and decoded exactly as before.

    Raises:
        ShapeError: The models differ in more than the number of batches, or the old batches are not the first.
        ParametersError: With this ``freeze_mode`` nothing would be trained.
    """
    n_old = old.data.n_batches
    if new.data.batches[:n_old] != old.data.batches:
        raise ShapeError(
            f"The batches of the trained model, {', '.join(old.data.batches)}, must be the first of the new one; "
            f"received {', '.join(new.data.batches)}. Append new batches behind them."
        )
    _refuse_to_train_nothing(new, n_old, freeze_mode)
    _carry_over(old.model, new.model, new_rows)
    if freeze_mode == "conditional":
        _freeze_all_but_batch_rows(new.model)
    elif freeze_mode == "new-batches":
        _freeze_all_but_batch_rows(new.model)
        for layer in batch_rows_within(new.model):
            layer.freeze_batches(n_old)


def update_model(old_model: keras.Model, new_model: keras.Model, freeze_unchanged: bool = False) -> keras.Model:
    """Copy all weights of a trained model into a model of the same design with as many batches or more.

    The published form of :func:`widen`: rows of new batches keep the values of the new model.

    Args:
        old_model: The trained model.
        new_model: Receives the weights; compile it afterwards.
        freeze_unchanged: Only variables whose shape differs between the models stay trainable, old rows too.

    Returns:
        The new model.

    Raises:
        ShapeError: The models differ in more than the number of batches, or the new one has fewer.
    """
    grown = _carry_over(old_model, new_model, "zeros")
    if freeze_unchanged and grown:
        _freeze_all_but_batch_rows(new_model)
    elif freeze_unchanged:
        new_model.trainable = False
    return new_model


def _refuse_to_train_nothing(new: ModelFamily, n_old: int, freeze_mode: FreezeMode) -> None:
    if freeze_mode == "none":
        return
    if not new.variables_with_batch_axis():
        raise ParametersError(
            f"freeze_mode '{freeze_mode}' leaves nothing to train: the model has no variables with a row for each batch. "
            "Use freeze_mode 'none'."
        )
    if freeze_mode == "new-batches" and new.data.n_batches == n_old:
        raise ParametersError(
            "freeze_mode 'new-batches' leaves nothing to train: there are no new batches. "
            "Use freeze_mode 'conditional' or 'none'."
        )


def _carry_over(old_model: keras.Model, new_model: keras.Model, new_rows: NewRows) -> set[str]:
    """Copy all weights; return the paths of those that have more rows in the new model."""
    old = {variable.path: variable for variable in old_model.weights}
    new = {variable.path: variable for variable in new_model.weights}
    grown = _grown_weights(old, new, {variable.path for variable in variables_with_batch_axis(new_model)})
    for path, variable in new.items():
        value = old[path].numpy()
        if path in grown:
            further = variable.numpy()[len(value) :]
            if new_rows == "mean":
                further = np.broadcast_to(value.mean(axis=0, dtype=np.float64), further.shape).astype(value.dtype)
            value = np.concatenate([value, further])
        variable.assign(value)
    return grown


def _grown_weights(
    old: dict[str, keras.Variable], new: dict[str, keras.Variable], with_batch_axis: set[str]
) -> set[str]:
    """Return the paths of weights that have more rows in the new model.

    Raises:
        ShapeError: The models differ otherwise.
    """
    if set(old) != set(new):
        raise ShapeError(
            f"The models are of different design; these weights have no partner: {', '.join(sorted(set(old) ^ set(new)))}. "
            "Build the new model with the parameters of the trained one."
        )
    grown, faults = set(), []
    for path, variable in new.items():
        before, after = tuple(old[path].shape), tuple(variable.shape)
        if before == after:
            continue
        if path in with_batch_axis and before[1:] == after[1:] and before[0] < after[0]:
            grown.add(path)
        else:
            faults.append(f"{path} {before} → {after}")
    if faults:
        raise ShapeError(
            f"Only the batch axis may grow, these weights differ otherwise: {', '.join(faults)}. "
            "Build the new model for the same genes, with the parameters of the trained one."
        )
    return grown


def _freeze_all_but_batch_rows(layer: keras.Layer) -> None:
    """Freeze every layer and variable within a layer or model, itself included, that has no batch axis."""
    if not batch_rows_within(layer):
        layer.trainable = False  # not only its variables: normalisation layers then keep their statistics, too
        return
    own = {id(variable) for variable in layer.variables_with_batch_axis} if isinstance(layer, BatchRows) else set()
    below = list(layers_directly_within(layer))
    of_layers = {id(variable) for one in below for variable in one.weights}
    for variable in layer.trainable_variables:
        if id(variable) not in own | of_layers:
            variable.trainable = False
    for one in below:
        _freeze_all_but_batch_rows(one)
