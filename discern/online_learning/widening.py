"""Carry the weights of a trained model over into one with more batches."""

from collections.abc import Iterator

import keras
import numpy as np

from discern.errors import ShapeError
from discern.layers.normalisation import BatchConditionalShift


def update_model(old_model: keras.Model, new_model: keras.Model, freeze_unchanged: bool = False) -> keras.Model:
    """Copy all weights of a trained model into a model of the same design with as many batches or more.

    The first rows of every kernel with a batch axis come from the old model; the rows of new batches keep the values
    of the new model. Nothing is changed when the models do not fit.

    Args:
        old_model: The trained model.
        new_model: Receives the weights; compile it afterwards.
        freeze_unchanged: Only layers whose shape differs between the models stay trainable.

    Returns:
        The new model.

    Raises:
        ShapeError: The models differ in more than the number of batches, or the new one has fewer.
    """
    old_weights = {variable.path: variable for variable in old_model.weights}
    new_weights = {variable.path: variable for variable in new_model.weights}
    widened = _widened_weights(old_weights, new_weights, _paths_with_batch_axis(new_model))
    for path, variable in new_weights.items():
        value = old_weights[path].numpy()
        if path in widened:
            value = np.concatenate([value, variable.numpy()[len(value) :]])
        variable.assign(value)
    if freeze_unchanged:
        for layer in _layers(new_model):
            if not any(variable.path in widened for variable in layer.weights):
                layer.trainable = False
    return new_model


def _widened_weights(
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
    widened, faults = set(), []
    for path, variable in new.items():
        before, after = tuple(old[path].shape), tuple(variable.shape)
        if before == after:
            continue
        if path in with_batch_axis and before[1:] == after[1:] and before[0] < after[0]:
            widened.add(path)
        else:
            faults.append(f"{path} {before} → {after}")
    if faults:
        raise ShapeError(
            f"Only the batch axis may grow, these weights differ otherwise: {', '.join(faults)}. "
            "Build the new model for the same genes, with the parameters of the trained one."
        )
    return widened


def _paths_with_batch_axis(model: keras.Model) -> set[str]:
    return {layer.kernel.path for layer in _layers(model) if isinstance(layer, BatchConditionalShift)}


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield all layers, those of models within the model instead of these models."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer
