"""Finding the record files of a folder, of this program and of the published one."""

from pathlib import Path

from discern.errors import ExperimentError
from discern.io.record_format import TRAINING, VALIDATION


def prepare_train_valid(input_tfr: Path | str) -> tuple[list[Path], list[Path]]:
    """Return the training and the validation files of a folder of records, sorted by name.

    Args:
        input_tfr: The folder: ``training-*.tfrecords`` and ``validate-*.tfrecords`` of this program, or
            ``training.tfrecords_v2`` and ``validate.tfrecords_v2`` of the published one.

    Raises:
        ExperimentError: The folder lacks training or validation files.
    """
    return _files(Path(input_tfr), TRAINING), _files(Path(input_tfr), VALIDATION)


def _files(folder: Path, split: str) -> list[Path]:
    found = sorted(folder.glob(f"{split}-*.tfrecords")) or sorted(folder.glob(f"{split}*.tfrecords_v2"))
    if not found:
        raise ExperimentError(f"{folder} holds no {split} records. Run `discern process` to write them.")
    return found
