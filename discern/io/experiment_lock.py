"""One process at a time works on an experiment.

The lock belongs to an open file, so the kernel releases it when the process ends, however it ends.
"""

import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from discern.errors import ExperimentInUseError
from discern.io.experiment_folder import ExperimentFolder

_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_LOGGER = logging.getLogger(__name__)


@contextmanager
def experiment_lock(folder: ExperimentFolder, verb: str) -> Iterator[None]:
    """Hold the lock of an experiment; the folder is made when needed, and removed when it stays empty.

    Args:
        folder: The experiment.
        verb: What this process does, for the message to others.

    Raises:
        ExperimentInUseError: Another process works on the experiment.
    """
    made = [one for one in (folder.path, *folder.path.parents) if not one.exists()]
    stream = _locked_file(folder)
    try:
        stream.truncate(0)
        json.dump({"verb": verb, "pid": os.getpid(), "host": socket.gethostname()}, stream)
        stream.flush()
        yield
    finally:
        folder.lock.unlink(missing_ok=True)  # while it is held: another process then sees that its file is gone
        stream.close()
        for one in made:
            if one.exists() and not any(one.iterdir()):
                one.rmdir()


def _locked_file(folder: ExperimentFolder) -> IO[str]:
    while True:
        folder.path.mkdir(parents=True, exist_ok=True)
        stream = folder.lock.open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with stream:
                raise ExperimentInUseError(_who_holds(folder, stream)) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                stream.close()
                raise
            _LOGGER.warning(
                "The file system of %s has no locks (%s): see to it that no other process works on this experiment.",
                folder.path,
                error.strerror,
            )
            return stream
        if _is_still(stream, folder.lock):
            return stream
        stream.close()  # its holder removed it between opening and locking


def _is_still(stream: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _who_holds(folder: ExperimentFolder, stream: IO[str]) -> str:
    stream.seek(0)
    try:
        holder = json.load(stream)
        who = f"`discern {holder['verb']}` (process {holder['pid']} on {holder['host']})"
    except (ValueError, KeyError, TypeError):
        who = "Another process"  # it has not written its name yet
    return f"{who} is working on {folder.path}. Wait until it has ended, or end it."
