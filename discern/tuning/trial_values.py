"""What a trial reports that has no value to report."""

from collections.abc import Collection
from typing import Any

from discern.errors import DiscernError, DivergenceError
from discern.tuning.metrics import metric

WORST = 1e30  # finite, for no scheduler and no searcher can compare NaN or infinity


def as_bad_as_can_be(metrics: Collection[str], error: DiscernError) -> dict[str, Any]:
    """Return the report of a trial that cannot go on: the worst value of all that is compared, and why.

    Args:
        metrics: What the search needs.
        error: What went wrong.
    """
    modes = {name: metric(name).mode for name in metrics}
    worst = {name: WORST if mode == "min" else -WORST for name, mode in modes.items() if mode}
    diverged = isinstance(error, DivergenceError)
    ended = {"early_stopped": False, "reached_max_step": False, "diverged": diverged, "failed": not diverged}
    return {"loss": WORST, **worst, **ended, "why": str(error), "done": True}
