"""Taking up earlier training: which state is whole, what has changed since, or how to begin anew."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from discern.errors import ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.training.checkpoints import DamagedCheckpointError, is_checkpoint, read_description

_CHANGE_NO_RESULT = {"max_steps", "GPU", "parallel_pc", "tensorboard", "umap_every", "early_stopping.patience"}
_OF_OTHER_COMMANDS = {"online"}
_LOGGER = logging.getLogger(__name__)


def whole_state(folder: ExperimentFolder) -> Path | None:
    """Return the state to go on from, None when there is none.

    A damaged last state is set aside and the one before it is taken; the epochs between them are trained again.

    Raises:
        ExperimentError: Both are damaged, or the only one is.
    """
    last, previous = folder.last_state, folder.previous_state
    if not last.exists():
        if not previous.exists():
            return None
        _LOGGER.warning("%s is missing; going on from %s.", last, previous)
        return previous
    try:
        read_description(last)
    except DamagedCheckpointError as error:
        try:
            epoch = read_description(previous)[3].epoch
        except ExperimentError as other:
            why = f" {other}" if previous.exists() else ""
            raise ExperimentError(f"{error}{why} Start anew with `discern train --restart`.") from error
        last.replace(folder.damaged_state)
        _LOGGER.warning(
            "%s Going on from %s, epoch %d; the damaged file is now %s.", error, previous, epoch, folder.damaged_state
        )
        return previous
    return last


def check_best_model(folder: ExperimentFolder) -> None:
    """Refuse a best model that is damaged: going on might never replace it.

    Raises:
        ExperimentError: It is damaged.
    """
    path = folder.best_model
    if not path.is_file() or not is_checkpoint(path):
        return
    try:
        read_description(path)
    except DamagedCheckpointError as error:
        raise ExperimentError(
            f"{error} Start anew with `discern train --restart`, or remove the file: then the next better epoch writes it."
        ) from error


def set_aside_job(folder: ExperimentFolder) -> None:
    """Move the job folder, if any, to the next free number of the backup folder."""
    if not folder.job.exists():
        return
    target = folder.next_backup
    target.path.mkdir(parents=True)
    folder.job.rename(target.job)
    _LOGGER.info("The earlier training is kept in %s.", target.job)


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys of two training sections that differ and change the result, with their values.

    Args:
        before: The section of the training that is taken up; keys that it does not know count as the same.
        now: The section now.
    """
    known = {name: value for name, value in now.items() if name in before and name not in _OF_OTHER_COMMANDS}
    old, new = (dict(_flat(section)) for section in ({name: before[name] for name in known}, known))
    absent = object()
    return [
        f"training.{name} is {_shown(new.get(name))}, was {_shown(old.get(name))}"
        for name in dict.fromkeys([*new, *old])
        if name not in _CHANGE_NO_RESULT and old.get(name, absent) != new.get(name, absent)
    ]


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
