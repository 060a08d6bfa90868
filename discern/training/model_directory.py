"""The trained model of a job folder, whichever program wrote it."""

from pathlib import Path

import keras

from discern.io.experiment_folder import ExperimentFolder
from discern.models.wae.published_file import build_published_model, is_published_file, read_published_model
from discern.training.checkpoints import load_family


def load_model_from_directory(directory: Path | str) -> tuple[keras.Model | None, int]:
    """Return the best model of a job folder and the number of epochs it was trained.

    Args:
        directory: A job folder.

    Returns:
        (None, 0) when the folder holds no model. A model saved by the published program does not tell its epochs: 0.

    Raises:
        ExperimentError: The file is damaged or holds something else.
    """
    path = Path(directory) / ExperimentFolder(Path()).best_model.name
    if not path.is_file():
        return None, 0
    if is_published_file(path):
        return build_published_model(read_published_model(path)), 0
    family, checkpoint = load_family(path)
    return family.model, checkpoint.epoch
