"""Several files and folders of an experiment change together, or none of them does."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from discern.io.experiment_folder import ExperimentFolder

Move = tuple[Path, Path]


@contextmanager
def staged_experiment(folder: ExperimentFolder) -> Iterator[ExperimentFolder]:
    """Give an empty experiment folder; when the block succeeds what it holds takes its place in ``folder``.

    A ``job`` that is replaced becomes ``backup``, where the folders of ``train --restart`` stay. When the block raises,
    ``folder`` is as it was.

    Args:
        folder: The experiment that changes.
    """
    temporary = folder.path / f".onlinetraining.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    staging, outdated = ExperimentFolder(temporary / "new"), ExperimentFolder(temporary / "old")
    staging.path.mkdir(parents=True)
    try:
        yield staging
        move_all(_moves(folder, staging, outdated))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_all(moves: list[Move]) -> None:
    """Rename all; when one fails those before it are undone.

    Args:
        moves: (from, to) in the order of renaming, within one file system.
    """
    done: list[Move] = []
    try:
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            target.rename(source)
        raise


def _moves(folder: ExperimentFolder, staging: ExperimentFolder, outdated: ExperimentFolder) -> list[Move]:
    moves: list[Move] = []
    for new, current, old in (
        (staging.processed_file, folder.processed_file, outdated.processed_file),
        (staging.tfrecords, folder.tfrecords, outdated.tfrecords),
        (staging.parameters_file, folder.parameters_file, outdated.parameters_file),
    ):
        if new.exists():
            moves += [(current, old)] if current.exists() else []
            moves.append((new, current))
    if staging.job.exists():
        moves += [(folder.backup, outdated.backup)] if folder.backup.exists() else []
        moves += [(folder.job, folder.backup)] if folder.job.exists() else []
        moves += [(outdated.backup / number, folder.backup / number) for number in _restarts(folder)]
        moves.append((staging.job, folder.job))
    return moves


def _restarts(folder: ExperimentFolder) -> list[str]:
    return sorted(path.name for path in folder.backup.glob("*") if path.name.isdecimal() and path.is_dir())
