"""Weights and training state as HDF5, configuration as JSON; no pickle.

``/weights/<path of the variable>`` holds the model's weights, ``/scaling`` and ``/gene_means`` how it transforms what it
reads. A training state also has ``/random/<n>`` (states of the random streams) and ``/optimizer/<n>`` (each with its
name), both in the order of the model. The attribute ``description`` is JSON. A checksum stands in front
(:mod:`discern.io.sealed_hdf5`); earlier files have none.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from discern.errors import DiscernError, ExperimentError, ShapeError
from discern.io.sealed_hdf5 import is_sealed, is_whole, sealed_hdf5
from discern.io.transform import InputTransform
from discern.io.whole_files import replacing_file
from discern.models.catalog import CONFIGS, FAMILIES
from discern.models.contract import DataDescription, ModelFamily
from discern.scaling import GeneScaling

FORMAT = "discern-weights"


class DamagedCheckpointError(ExperimentError):
    """A checkpoint is not as it was written."""


@dataclass
class Checkpoint:
    """What a file holds beside the weights.

    Attributes:
        epoch: Epochs trained.
        monitored: Best monitored value so far.
        early_stopping: State of early stopping.
        training: The training section, JSON types only; empty in earlier files.
    """

    epoch: int = 0
    monitored: float | None = None
    early_stopping: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    path: Path, family: ModelFamily, checkpoint: Checkpoint, with_state: bool, previous: Path | None = None
) -> None:
    """Write the weights, and what resuming needs when ``with_state``.

    Args:
        path: The file; it appears whole or not at all.
        family: Whose weights are written.
        checkpoint: Counters.
        with_state: Also the optimizer and the random streams.
        previous: Name that the file before gets, when the new one is complete.
    """
    model, data = family.model, family.data
    description = {
        "family": family.name,
        "config": family.config.model_dump(),
        "n_genes": data.n_genes,
        "genes_sha256": data.genes_sha256,
        "batches": list(data.batches),
        "n_train_cells": data.n_train_cells,
        "library_size": data.transform.library_size,
        "log": data.transform.log,
        "epoch": checkpoint.epoch,
        "monitored": checkpoint.monitored,
        "early_stopping": checkpoint.early_stopping,
        "training": checkpoint.training,
    }
    with replacing_file(path) as temporary:
        with sealed_hdf5(temporary) as file:
            file.attrs["format"] = FORMAT
            file.attrs["description"] = json.dumps(description)
            for variable in model.weights:
                file[f"weights/{variable.path}"] = variable.numpy()
            if data.transform.scaling is not None:
                file["scaling/mean"] = data.transform.scaling.mean
                file["scaling/std"] = data.transform.scaling.std
            if data.transform.gene_means is not None:
                file["gene_means"] = data.transform.gene_means
            if with_state:
                _write_state(file, model)
        if previous is not None and path.exists():
            path.replace(previous)


def _write_state(file: h5py.File, model: keras.Model) -> None:
    for number, variable in enumerate(random_states(model)):
        file[f"random/{number:04d}"] = variable.numpy()
    for number, variable in enumerate(model.optimizer.variables):
        file[f"optimizer/{number:04d}"] = variable.numpy()
        file[f"optimizer/{number:04d}"].attrs["name"] = _plain_name(variable)


def random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of all random streams of a model, in its order."""
    weights = {id(variable) for variable in model.weights}
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    return [variable for variable in model.variables if id(variable) not in weights | metrics]


def read_description(path: Path) -> tuple[str, Any, DataDescription, Checkpoint]:
    """Return (family name, model configuration, data description, counters) of a checkpoint.

    Raises:
        ExperimentError: The file is no checkpoint or is damaged (DamagedCheckpointError).
    """
    with _reading(path) as file:
        content = json.loads(file.attrs["description"])
        scaling = None
        if "scaling" in file:
            scaling = GeneScaling(file["scaling/mean"][()], file["scaling/std"][()])
        config = CONFIGS.get(content["family"]).model_validate(content["config"])
        means = file["gene_means"][()] if "gene_means" in file else None  # earlier files do not tell them
        transform = InputTransform(content["library_size"], content["log"], scaling, means)
        data = DataDescription(
            n_genes=content["n_genes"],
            batches=tuple(content["batches"]),
            n_train_cells=content["n_train_cells"],
            transform=transform,
            genes_sha256=content.get("genes_sha256", ""),  # earlier files do not tell it
        )
        checkpoint = Checkpoint(
            content["epoch"], content["monitored"], content["early_stopping"], content.get("training", {})
        )
        return content["family"], config, data, checkpoint


def load_family(path: Path, seed: int = 0) -> tuple[ModelFamily, Checkpoint]:
    """Build the family a checkpoint describes and load its weights.

    Raises:
        ExperimentError: The file is no checkpoint or is damaged.
    """
    try:
        name, config, data, checkpoint = read_description(path)
        family = FAMILIES.get(name)(config, data, seed)
        load_weights(path, family.model)
    except DamagedCheckpointError as error:
        raise DamagedCheckpointError(
            f"{error} Restore it from a copy, or train anew with `discern train --restart`."
        ) from error
    return family, checkpoint


def is_checkpoint(path: Path) -> bool:
    """Tell whether this program wrote the file; a damaged one counts as written by it."""
    try:
        if is_sealed(path):
            return True
        with h5py.File(path, "r") as file:
            return file.attrs.get("format") == FORMAT
    except OSError:
        return True


def load_weights(path: Path, model: keras.Model) -> None:
    """Load the weights of a checkpoint into a model of the same architecture.

    Raises:
        ExperimentError: The file is no checkpoint or is damaged.
        ShapeError: A weight is missing, too much, or of another shape; the model is as it was.
    """
    with _reading(path) as file:
        stored: dict[str, h5py.Dataset] = {}
        file["weights"].visititems(
            lambda name, item: stored.update({name: item} if isinstance(item, h5py.Dataset) else {})
        )
        own = {variable.path: variable for variable in model.weights}
        if set(own) != set(stored):
            different = sorted(set(own) ^ set(stored))
            raise ShapeError(
                f"{path} holds another architecture; these weights have no partner: {', '.join(different)}."
            )
        for name, variable in own.items():
            if tuple(variable.shape) != stored[name].shape:
                raise ShapeError(
                    f"{path}: {name} has shape {stored[name].shape}, the model needs {tuple(variable.shape)}."
                )
        values = {name: dataset[()] for name, dataset in stored.items()}
    for name, variable in own.items():
        variable.assign(values[name])


def load_state(path: Path, model: keras.Model) -> None:
    """Load optimizer and random streams into a compiled model.

    A constant learning rate stays as configured: it may be lowered between two runs.

    Raises:
        ExperimentError: The file is no checkpoint or is damaged.
        ShapeError: The optimizer is another one; the model is as it was.
    """
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)
    groups = {"random": random_states(model), "optimizer": model.optimizer.variables}
    with _reading(path) as file:
        values = {group: _stored_values(path, file, group, variables) for group, variables in groups.items()}
    for group, variables in groups.items():
        for variable, value in zip(variables, values[group], strict=True):
            if not variable.path.endswith("/learning_rate"):
                variable.assign(value)


def _stored_values(path: Path, file: h5py.File, group: str, variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    stored = [file[group][name] for name in sorted(file[group])] if group in file else []
    fits = [dataset.shape for dataset in stored] == [tuple(variable.shape) for variable in variables]
    if group == "optimizer":
        fits = fits and [dataset.attrs["name"] for dataset in stored] == [_plain_name(one) for one in variables]
    if not fits:
        raise ShapeError(
            f"{path}: the stored {group} state does not fit the configured one. "
            "Restore the parameters it was trained with, or start anew with `discern train --restart`."
        )
    return [dataset[()] for dataset in stored]


def _plain_name(variable: keras.Variable) -> str:
    """Return the name without the number that Keras gives the second optimizer of a process: adam_1/m is adam/m."""
    return re.sub(r"_\d+/", "/", variable.path)


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    """Open a checkpoint; whatever a damaged file makes h5py or the reader raise becomes an ExperimentError."""
    if not path.is_file():
        raise ExperimentError(f"{path} does not exist. Run `discern train` first.")
    try:
        if is_sealed(path) and not is_whole(path):
            raise DamagedCheckpointError(f"{path} is truncated or damaged: its checksum is another.")
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise ExperimentError(f"{path} was not written by this program.")
            yield file
    except DiscernError:
        raise
    except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise DamagedCheckpointError(f"{path} cannot be read, it may be truncated or damaged: {error}") from error
