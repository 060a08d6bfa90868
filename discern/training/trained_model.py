"""Trained models, whichever program wrote them."""

from pathlib import Path

import keras

from discern.io.experiment_folder import ExperimentFolder
from discern.models.catalog import FAMILIES
from discern.models.contract import DataDescription, ModelFamily
from discern.training.checkpoints import Checkpoint, is_checkpoint, load_family


def load_trained(path: Path, seed: int = 0, data: DataDescription | None = None) -> tuple[ModelFamily, Checkpoint]:
    """Return a trained model and its counters; a file of another program does not tell its epochs.

    Args:
        path: A checkpoint, or a file that one of the families knows.
        seed: Drives the random draws of the model.
        data: What a file of another program does not tell; placeholders when None.

    Raises:
        ExperimentError: The file is absent, damaged or of an unknown kind.
    """
    if path.is_file() and not is_checkpoint(path):
        for name in FAMILIES.entries:
            family = FAMILIES.get(name).from_foreign_file(path, data, seed)
            if family is not None:
                return family, Checkpoint()
    return load_family(path, seed)


def best_model_of(directory: Path | str) -> Path:
    """Return the file of the best weights in a job folder."""
    return Path(directory) / ExperimentFolder(Path()).best_model.name


def load_model_from_directory(directory: Path | str) -> tuple[keras.Model | None, int]:
    """Return the best model of a job folder and the number of epochs it was trained.

    Args:
        directory: A job folder.

    Returns:
        (None, 0) when the folder holds no model. A model saved by the published program does not tell its epochs: 0.

    Raises:
        ExperimentError: The file is damaged or holds something else.
    """
    path = best_model_of(directory)
    if not path.is_file():
        return None, 0
    family, checkpoint = load_trained(path)
    return family.model, checkpoint.epoch
