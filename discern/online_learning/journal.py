"""Renames within an experiment that happen together: the journal on disk lets the next process finish them.

A journal is written when all that is to be renamed is whole and on disk. From then on the renames are finished by
whoever comes next, however this process ends.
"""

import os
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Self

from discern.errors import DiscernError, ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.json_files import read_json
from discern.io.whole_files import sync_folder, sync_tree, write_json
from discern.online_learning.interruption import signals_deferred

_HERE = ExperimentFolder(Path())
PARAMETERS = _HERE.parameters_file.as_posix()
PLACES = tuple(path.as_posix() for path in (_HERE.job, _HERE.processed_file, _HERE.tfrecords))
NEW, OLD = (f"{_HERE.staging.as_posix()}/{name}/" for name in ("new", "old"))
_PLACE = "|".join(map(re.escape, (*PLACES, PARAMETERS)))
_PARENT = rf"{_HERE.backup.as_posix()}/[1-9][0-9]{{0,17}}/|{re.escape(NEW)}|{re.escape(OLD)}"
_KNOWN = re.compile(f"(?:{_PARENT})?(?:{_PLACE})")
_FORMAT, _VERSION = "discern-moves", 1


@dataclass(frozen=True)
class Journal:
    """What is renamed, in this order. Nothing is moved twice, and only the parameters replace what is there.

    Attributes:
        purpose: What for, as messages tell it.
        moves: (from, to), both below the experiment.
    """

    purpose: str
    moves: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        known = all(isinstance(name, str) and _KNOWN.fullmatch(name) for move in self.moves for name in move)
        if not isinstance(self.purpose, str) or not known:
            raise ValueError("it names files that do not belong to an experiment")
        reached: set[str] = set()
        for source, target in self.moves:
            if source in reached or target in reached:
                raise ValueError(f"{source} or {target} would be moved twice")
            reached.add(target)

    @classmethod
    def read(cls, folder: ExperimentFolder) -> Self:
        """Read the journal of an experiment.

        Raises:
            ExperimentError: It is damaged, or names other files than those of an experiment.
        """
        try:
            content = read_json(folder.journal)
            if (content.pop("format"), content.pop("version")) != (_FORMAT, _VERSION):
                raise ValueError("it is of another version of this program")
            moves = tuple((source, target) for source, target in content.pop("moves"))
            return cls(moves=moves, **content)
        except (DiscernError, KeyError, TypeError, ValueError) as error:
            raise ExperimentError(
                f"{folder.journal} is damaged ({error}). It tells which files were being replaced when a process was "
                f"killed: bring {', '.join(PLACES)} to their places from {folder.staging} and {folder.backup} by hand, "
                f"then remove {folder.staging}."
            ) from error

    def carry_out(self, folder: ExperimentFolder) -> None:
        """Write the journal and rename everything; when a rename fails, take back those before it.

        SIGINT and SIGTERM wait until all is done.

        Raises:
            OSError: A rename failed; everything is as it was.
        """
        sync_tree(folder.staging)
        with signals_deferred():
            try:
                write_json(folder.journal, {"format": _FORMAT, "version": _VERSION, **asdict(self)})
                sync_folder(folder.staging)
                self.finish(folder)
            except BaseException:
                self._take_back(folder)
                folder.journal.unlink(missing_ok=True)
                raise
            folder.journal.unlink()
            sync_folder(folder.staging)

    def finish(self, folder: ExperimentFolder) -> None:
        """Make the renames that were not made yet.

        Raises:
            ExperimentError: Something that is to be renamed is nowhere.
        """
        for source, target in self.moves:
            if not _is_done(folder.path, source, target):
                _rename(folder.path, source, target)
        for source, _ in self.moves:
            _remove_empty_folders(folder.path, source)

    def _take_back(self, folder: ExperimentFolder) -> None:
        done = takewhile(lambda move: _is_done(folder.path, *move), self.moves)
        for source, target in reversed(list(done)):
            _rename(folder.path, target, source)
        copy = folder.path / f"{OLD}{PARAMETERS}"
        if copy.exists() and not folder.parameters_file.exists():
            copy.rename(folder.parameters_file)
        for _, target in self.moves:
            _remove_empty_folders(folder.path, target)


def keep_parameters(folder: ExperimentFolder) -> bool:
    """Copy the parameters, so that there are some at any time while they are replaced; tell whether there are any."""
    if not folder.parameters_file.exists():
        return False
    copy = folder.path / f"{OLD}{PARAMETERS}"
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder.parameters_file, copy)
    return True


def _is_done(root: Path, source: str, target: str) -> bool:
    """Tell whether a rename was made, given that those before it were."""
    if target == PARAMETERS:
        return not os.path.lexists(root / source)
    return os.path.lexists(root / target)


def _rename(root: Path, source: str, target: str) -> None:
    start, end = root / source, root / target
    if not os.path.lexists(start):
        raise ExperimentError(
            f"{start} is missing, and so is {end}: one of them was removed while files were replaced."
        )
    end.parent.mkdir(parents=True, exist_ok=True)
    start.rename(end)
    for name in (source, target):
        for parent in PurePosixPath(name).parents:
            sync_folder(root / parent)


def _remove_empty_folders(root: Path, name: str) -> None:
    for parent in PurePosixPath(name).parents[:-1]:
        if PurePosixPath(NEW).parent not in (parent, *parent.parents):  # it is removed as a whole
            with suppress(OSError):
                (root / parent).rmdir()
