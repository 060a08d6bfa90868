"""Several files and folders of an experiment change together, or none of them does, however a process ends."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from discern.errors import ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.whole_files import remove_folder, remove_leftovers, size_in_words
from discern.online_learning.journal import NEW, OLD, PARAMETERS, PLACES, Journal, keep_parameters

_LOGGER = logging.getLogger(__name__)


@contextmanager
def staged_experiment(folder: ExperimentFolder, purpose: str = "online training") -> Iterator[ExperimentFolder]:
    """Give an empty experiment folder; when the block succeeds what it holds takes its place in ``folder``.

    What is replaced (job, processed data, records, parameters) goes to the next number of the backup folder, laid out
    like an experiment. When the block raises, ``folder`` is as it was. When the process is killed, ``folder`` is as it
    was, or :func:`recover` brings what was staged to its place. Hold the lock of the experiment.

    Args:
        folder: The experiment that changes.
        purpose: What changes it, for messages.

    Raises:
        ExperimentError: Parts of the experiment lie on another file system.
    """
    recover(folder)
    require_one_file_system(folder)
    staging = ExperimentFolder(folder.path / NEW)
    try:
        staging.path.mkdir(parents=True)
        yield staging
        backup = folder.next_backup
        moves = _moves(folder, backup)
        if moves:
            Journal(purpose, tuple(moves)).carry_out(folder)
    finally:
        remove_staging(folder)
    if backup.path.exists():
        _LOGGER.info(
            "The state before %s is kept in %s (%s). Remove that folder when you no longer want to undo this.",
            purpose,
            backup.path,
            size_in_words(backup.path),
        )


def recover(folder: ExperimentFolder) -> bool:
    """Finish what a killed process began to rename, and remove what it left behind. Hold the lock of the experiment.

    Returns:
        Whether files were brought to their places.

    Raises:
        ExperimentError: The journal is damaged, or files that it names are gone.
    """
    finished = False
    if folder.staging.is_symlink():
        folder.staging.unlink()
    elif folder.journal.exists():
        journal = Journal.read(folder)
        journal.finish(folder)
        folder.journal.unlink()
        _LOGGER.warning(
            "A process was killed while %s ended in %s; its end was made up for.", journal.purpose, folder.path
        )
        finished = True
    elif folder.staging.exists():
        _LOGGER.warning(
            "A process was killed at work on %s: what it left in %s is removed.", folder.path, folder.staging
        )
    remove_staging(folder)
    remove_leftovers(folder.scratch)
    for leftover in folder.path.glob(".onlinetraining.*.tmp"):  # of earlier versions of this program
        if any((leftover / "old").glob("**/*.*")):
            _LOGGER.warning(
                "%s holds files that a killed process had moved aside; look at them, then remove it.", leftover
            )
        else:
            remove_folder(leftover)
    return finished


def remove_staging(folder: ExperimentFolder) -> None:
    """Remove the folder of a new state, unless its journal tells that it is still needed."""
    if not folder.journal.exists():
        remove_folder(folder.staging)


def require_one_file_system(folder: ExperimentFolder) -> None:
    """Refuse an experiment whose parts cannot be renamed at once, before any work is done.

    Raises:
        ExperimentError: A folder is a link to another file system.
    """
    here = folder.path.stat().st_dev
    for parent in (folder.processed_data, folder.backup):
        if parent.exists() and parent.stat().st_dev != here:
            raise ExperimentError(
                f"{parent} lies on another file system than {folder.path}, so the two cannot be changed together. "
                "Move the whole experiment there, and link to it if need be."
            )


def _moves(folder: ExperimentFolder, backup: ExperimentFolder) -> list[tuple[str, str]]:
    kept, moves = _below(folder, backup.path), []
    for place in PLACES:
        if os.path.lexists(folder.path / NEW / place):
            if os.path.lexists(folder.path / place):
                moves.append((place, kept + place))
            moves.append((NEW + place, place))
    if os.path.lexists(folder.path / NEW / PARAMETERS):
        if keep_parameters(folder):
            moves.append((OLD + PARAMETERS, kept + PARAMETERS))
        moves.append((NEW + PARAMETERS, PARAMETERS))
    return moves


def _below(folder: ExperimentFolder, path: Path) -> str:
    return path.relative_to(folder.path).as_posix() + "/"
