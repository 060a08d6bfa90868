"""Trials while they run: a table in a terminal, plain log lines elsewhere."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from discern.errors import counted
from discern.progress import duration

_LOGGER = logging.getLogger(__name__)
_ROWS = 15


class Show(Protocol):
    """Called when a trial reports or ends."""

    def __call__(self, name: str, result: dict[str, Any], status: str) -> None:
        """Show a trial: its name, what it reported last, and whether it runs or how it ended."""
        ...


@contextmanager
def trials_shown(metric: str, n_trials: int, larger_is_better: bool = False) -> Iterator[Show]:
    """Show trials while the block runs.

    Args:
        metric: What decides which is best.
        n_trials: How many there will be.
        larger_is_better: Direction of the metric.
    """
    rows: dict[str, tuple[dict[str, Any], str]] = {}
    if not (sys.stderr.isatty() and _LOGGER.isEnabledFor(logging.INFO)):
        yield _lines(rows, metric, n_trials)
        return
    from rich.console import Console
    from rich.live import Live

    def show(name: str, result: dict[str, Any], status: str) -> None:
        rows[name] = (result or rows.get(name, ({}, ""))[0], status)
        live.update(_table(rows, metric, n_trials, larger_is_better))

    with Live(console=Console(stderr=True), refresh_per_second=2) as live:
        yield show


def _lines(rows: dict[str, tuple[dict[str, Any], str]], metric: str, n_trials: int) -> Show:
    def show(name: str, result: dict[str, Any], status: str) -> None:
        before = rows.get(name)
        rows[name] = (result or (before[0] if before else {}), status)
        if status != "running":
            ended = sum(one != "running" for _, one in rows.values())
            _LOGGER.info("Trial %s %s (%d of %d): %s", name, status, ended, n_trials, _told(rows[name][0], metric))
        elif result:
            _LOGGER.info("Trial %s: %s", name, _told(result, metric))
        elif before is None:
            _LOGGER.info("Trial %s begins", name)

    return show


def _told(result: dict[str, Any], metric: str) -> str:
    if not result:
        return "nothing reported"
    value = result.get(metric)
    shown = "no value" if value is None else f"{value:.5g}"
    return f"{metric} {shown}, {counted(result.get('epochs', 0), 'epoch')}, {duration(float(result.get('seconds', 0)))}"


def _table(rows: dict[str, tuple[dict[str, Any], str]], metric: str, n_trials: int, larger_is_better: bool) -> Any:
    from rich.table import Table

    ended = sum(status != "running" for _, status in rows.values())
    sign = -1.0 if larger_is_better else 1.0
    order = sorted(rows, key=lambda name: sign * float(rows[name][0].get(metric, sign * float("inf"))))
    table = Table(title=f"{ended} of {counted(n_trials, 'trial')} ended; best {metric} first")
    for column in ("trial", "status", metric, "epochs", "time"):
        table.add_column(column)
    for name in order[:_ROWS]:
        result, status = rows[name]
        value = f"{result[metric]:.5g}" if metric in result else ""
        seconds = duration(float(result["seconds"])) if "seconds" in result else ""
        table.add_row(name, status, value, str(result.get("epochs", "")), seconds)
    if len(order) > _ROWS:
        table.add_row(f"and {len(order) - _ROWS} more", "", "", "", "")
    return table
