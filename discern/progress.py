"""Progress with an estimate of the time left: a bar in a terminal, plain log lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_LOGGER = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_TO_JUDGE_BY = 60.0  # one step that took less may have been compiling


class Report(Protocol):
    """Called as work advances."""

    def __call__(self, done: float, text: str = "") -> None:
        """Tell how much of the total is done, and something about it."""
        ...


@contextmanager
def progress(
    title: str, total: float, every_step: bool = False, *, done_before: int = 0, may_end_early: bool = False
) -> Iterator[Report]:
    """Show the progress of one piece of work.

    Args:
        title: What is being done.
        total: What ``done`` will reach.
        every_step: Without a terminal, log every report instead of one in ten seconds.
        done_before: What earlier work did of the total.
        may_end_early: The total may not be reached; the time left is told as a limit.
    """
    if sys.stderr.isatty() and _reaches_the_terminal():
        with _bar(title, total, done_before, may_end_early) as report:
            yield report
    else:
        yield _lines(title, total, every_step, done_before, may_end_early)


def _reaches_the_terminal() -> bool:
    """Tell whether progress is wanted: a log file takes everything, a terminal as much as its handler lets pass."""
    logger: logging.Logger | None = _LOGGER
    terminals: list[logging.Handler] = []
    while logger is not None:
        handlers = [one for one in logger.handlers if isinstance(one, logging.StreamHandler)]
        terminals += [one for one in handlers if not isinstance(one, logging.FileHandler)]
        logger = logger.parent if logger.propagate else None
    wanted = not terminals or any(one.level <= logging.INFO for one in terminals)
    return wanted and _LOGGER.isEnabledFor(logging.INFO)


@contextmanager
def _bar(title: str, total: float, done_before: int, may_end_early: bool) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Column

    # what may not be cut is kept in one line; in a narrow terminal the bar alone gets shorter
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TextColumn("left ≤" if may_end_early else "left"),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(title, total=total, completed=done_before, text="")
        yield lambda done, text="": bar.update(task, completed=done, text=text)


def _lines(title: str, total: float, every_step: bool, done_before: int, may_end_early: bool) -> Report:
    start = last = time.monotonic()
    first: tuple[float, float] | None = None
    about = "at most about" if may_end_early else "about"

    def seconds_left(done: float, now: float) -> float | None:
        """Go by the pace since the first report: what comes before it, like compiling, is done once."""
        if first is not None and done > first[1]:
            return (now - first[0]) / (done - first[1]) * (total - done)
        done_here = done - done_before
        if done_here <= 0 or now - start < _SECONDS_TO_JUDGE_BY:
            return None
        return (now - start) / done_here * (total - done)

    def report(done: float, text: str = "") -> None:
        nonlocal last, first
        now = time.monotonic()
        left = seconds_left(done, now)
        first = first or (now, done)
        ends_a_long_one = done >= total and last > start
        if every_step or now - last >= _SECONDS_BETWEEN_LINES or ends_a_long_one:
            last = now
            estimate = "" if left is None else f", {about} {duration(left)} left"
            _LOGGER.info("%s %g/%g%s%s", title, done, total, estimate, f": {text}" if text else "")

    return report


def duration(seconds: float) -> str:
    """Return seconds as people say them, e.g. ``3 min 20 s``."""
    if not seconds < float("inf"):
        return "an unknown time"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
