"""The model that a trial's last report is of, kept while its training goes on.

A search that ends in the middle of a step leaves a best model that may be newer than the last report. The value of a
trial must be that of the model which projection uses, and the trial shall lose nothing when it goes on.
"""

import os
from pathlib import Path

from discern.io.whole_files import link_or_copy, replacing_file
from discern.tuning.search_folder import TrialFolder


def keep_reported(trial: TrialFolder, best_epoch: int) -> None:
    """Keep the best model under the number of its epoch, before the report that is of it is written.

    Args:
        trial: A trial between two steps.
        best_epoch: The epoch of its best model; 0 when it has none.
    """
    kept = trial.reported_model(best_epoch)
    if best_epoch and not kept.is_file():
        with replacing_file(kept) as temporary:
            temporary.unlink(missing_ok=True)
            link_or_copy(trial.experiment.best_model, temporary)


def forget_others(trial: TrialFolder, best_epoch: int) -> None:
    """Remove the models that earlier reports were of, after a report was written."""
    for file in trial.path.glob(trial.reported_model("*").name):
        if file != trial.reported_model(best_epoch):
            file.unlink()


def forget_all(trial: TrialFolder) -> None:
    """Remove all models but the best one: the trial has ended, or is given another state."""
    forget_others(trial, 0)
    trial.unreported_model.unlink(missing_ok=True)


def show_reported(trial: TrialFolder, best_epoch: int) -> None:
    """Make the model of the last report the best one; a newer one is set aside until the trial goes on.

    Args:
        trial: A trial that does not run.
        best_epoch: What it reported last; 0 when it reported none.
    """
    kept, best = trial.reported_model(best_epoch), trial.experiment.best_model
    if not kept.is_file() or (best.is_file() and _same(kept, best)):
        return
    if best.is_file():
        best.replace(trial.unreported_model)
    with replacing_file(best) as temporary:
        link_or_copy(kept, temporary)


def take_back_unreported(trial: TrialFolder) -> None:
    """Make the model that was set aside the best one again: training goes on from a state that knows of it."""
    if trial.unreported_model.is_file():
        trial.unreported_model.replace(trial.experiment.best_model)


def _same(one: Path, other: Path) -> bool:
    """Tell whether two names are links to one file, or one is a copy of the other."""
    mine, theirs = one.stat(), other.stat()
    return os.path.samestat(mine, theirs) or (mine.st_size, mine.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)
