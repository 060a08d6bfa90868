"""The record files of a folder, of this program and of the published one: which they are, how much they hold."""

from pathlib import Path

from discern.errors import ExperimentError
from discern.io.record_schema import TRAINING, VALIDATION


def prepare_train_valid(input_tfr: Path | str) -> tuple[list[Path], list[Path]]:
    """Return the training and the validation files of a folder of records, sorted by name.

    Args:
        input_tfr: The folder: ``training-*.tfrecords`` and ``validate-*.tfrecords`` of this program, or
            ``training.tfrecords_v2`` and ``validate.tfrecords_v2`` of the published one.

    Raises:
        ExperimentError: The folder lacks training or validation files.
    """
    return _files(Path(input_tfr), TRAINING), _files(Path(input_tfr), VALIDATION)


def uncompressed_bytes(path: Path) -> int:
    """Return the size of what a record file holds, as the last four bytes of a GZIP file tell it (modulo 4 GiB)."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 4))
        return int.from_bytes(stream.read(4), "little")


def _files(folder: Path, split: str) -> list[Path]:
    found = sorted(folder.glob(f"{split}-*.tfrecords")) or sorted(folder.glob(f"{split}*.tfrecords_v2"))
    if not found:
        raise ExperimentError(f"{folder} holds no {split} records. Run `discern process` to write them.")
    return found
