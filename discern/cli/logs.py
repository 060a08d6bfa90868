"""Logging of the command line: short lines on stderr, everything in ``discern.log``."""

import logging
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from discern.cli.quiet_tensorflow import import_tensorflow

LOG_FILE = "discern.log"


def set_up_logging(verbosity: int, log_file: Path | None = None, one_of_several: bool = False) -> None:
    """Send log records to stderr and, when given, append them to a file.

    Args:
        verbosity: -1 warnings, 0 progress, 1 details, 2 details of the libraries too.
        log_file: The file; its folder is created when needed.
        one_of_several: Name the process, which is called like its experiment, in front of every line.
    """
    level = {-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(level)
    line = "%(message)s" if verbosity < 1 else "%(asctime)s %(name)s: %(message)s"
    terminal.setFormatter(logging.Formatter(f"[%(processName)s] {line}" if one_of_several else line))
    root.addHandler(terminal)
    root.setLevel(logging.DEBUG if verbosity > 1 else logging.WARNING)
    logging.getLogger("discern").setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    if verbosity < 1:
        warnings.formatwarning = _in_one_line
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        to_file = logging.FileHandler(log_file, encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s"))
        root.addHandler(to_file)


def _in_one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning without the place in the code, which tells a user nothing."""
    return f"{category.__name__}: {message}"


def start_process(verbosity: int, log_file: Path | None, with_tensorflow: bool) -> Callable[[], None]:
    """Return what another process calls first, to log in the same way."""
    return partial(_start, verbosity, log_file, with_tensorflow)


def _start(verbosity: int, log_file: Path | None, with_tensorflow: bool) -> None:
    set_up_logging(verbosity, log_file, one_of_several=True)
    if with_tensorflow:
        import_tensorflow(verbosity)
