"""``onlinetraining --undo``: the experiment as it was before new batches joined it."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from discern.errors import ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.experiment_lock import experiment_lock
from discern.online_learning.journal import OLD, PARAMETERS, PLACES, Journal, keep_parameters
from discern.online_learning.staging import recover, remove_staging, require_one_file_system
from discern.workflows.experiment import Experiment
from discern.workflows.older_projections import tell_of_older_projections
from discern.workflows.working_alone import working_alone

_LOGGER = logging.getLogger(__name__)
_VERB = "onlinetraining --undo"
_JOB = PLACES[0]


@dataclass(frozen=True)
class UndoResult:
    """What was taken back.

    Attributes:
        restored: The backup that is the experiment again; it is gone from there.
        kept_job: Where the job is that was taken back; None when there was none.
    """

    restored: Path
    kept_job: Path | None


@working_alone(_VERB)
def undo_online(experiment: Experiment) -> UndoResult:
    """Take back the last online training: job, processed data, records and parameters are those before it.

    The job that is taken back is kept in ``backup``, like that of ``train --restart``; processed data and records that
    have come since are removed. Projected cells stay. All of it happens, or nothing. The next undo takes back the
    online training before.

    Args:
        experiment: An experiment that was trained online.

    Raises:
        ExperimentError: There is nothing to undo, or another process works on the experiment or on its backup.
    """
    folder = experiment.folder
    backup = _newest_state(folder)
    require_one_file_system(folder)
    kept = folder.next_backup
    with experiment_lock(backup, _VERB):
        try:
            Journal("undoing online training", tuple(_moves(folder, backup, kept))).carry_out(folder)
        finally:
            remove_staging(folder)
    _remove_if_empty(backup.path)
    kept_job = kept.job if kept.job.exists() else None
    _LOGGER.info("%s is as it was before the last online training", folder.path)
    if kept_job is not None:
        _LOGGER.info("The training that was undone is kept in %s", kept_job)
    tell_of_older_projections(folder)
    return UndoResult(backup.path, kept_job)


def _newest_state(folder: ExperimentFolder) -> ExperimentFolder:
    states = [one for one in folder.backups if one.processed_file.is_file()]
    if states:
        recover(states[-1])
        return states[-1]
    published = (folder.backup / folder.best_model.name).exists()
    why = (
        " The backup there was made by an earlier version, which kept the job only: begin anew with "
        "`discern process --force`."
    )
    raise ExperimentError(
        f"There is no online training to undo: no folder in {folder.backup} holds processed data."
        f"{why if published else ''}"
    )


def _moves(folder: ExperimentFolder, backup: ExperimentFolder, kept: ExperimentFolder) -> list[tuple[str, str]]:
    before, aside = (f"{one.path.relative_to(folder.path).as_posix()}/" for one in (backup, kept))
    moves = []
    for place in PLACES:
        if os.path.lexists(folder.path / place):
            moves.append((place, (aside if place == _JOB else OLD) + place))
        if os.path.lexists(backup.path / place):
            moves.append((before + place, place))
    if backup.parameters_file.exists():
        keep_parameters(folder)
        moves.append((before + PARAMETERS, PARAMETERS))
    return moves


def _remove_if_empty(path: Path) -> None:
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
