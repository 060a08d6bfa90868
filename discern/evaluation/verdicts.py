"""Marks for the estimates of a table: is a model better than what anybody gets without one?"""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from discern.evaluation.measures import Measure
from discern.evaluation.table import Evaluation

Mark = Literal["pass", "warn", "fail"]
_TOLERANCE = 0.01
_SMALLEST = 0.05
AS_MEASURED = "as measured"


@dataclass(frozen=True)
class Verdict:
    """How one estimate does in one measure.

    Attributes:
        mark: ``pass``: no baseline is better; ``warn``: one is, but the data as they are are not; ``fail``: they are.
        sentence: The same in words, with numbers.
    """

    mark: Mark
    sentence: str


def verdict(evaluation: Evaluation, measure: Measure, method: str) -> Verdict | None:
    """Return how an estimate compares with the baselines; None when there is nothing to compare.

    Differences of less than a hundredth of the value (at least 0.0005) do not count.

    Args:
        evaluation: The table.
        measure: Its row.
        method: Name of the estimate.
    """
    value = evaluation.value(method, measure.name)
    baselines = {
        one.name: found
        for one in evaluation.methods
        if one.role == "baseline" and (found := evaluation.value(one.name, measure.name)) is not None
    }
    if value is None or not baselines:
        return None
    best = min(baselines, key=lambda name: measure.badness(baselines[name]))
    if not _is_worse(measure, value, baselines[best]):
        return Verdict(
            "pass", f"{_number(value)}: as good as the best baseline or better ({best}: {_number(baselines[best])})."
        )
    as_measured = baselines.get(AS_MEASURED)
    against = f"{best}, a baseline, is better ({_number(baselines[best])})"
    if as_measured is None:
        return Verdict("warn", f"{_number(value)}: {against}.")
    if _is_worse(measure, value, as_measured):
        also = "" if best == AS_MEASURED else f"; best is {best} ({_number(baselines[best])})"
        return Verdict("fail", f"{_number(value)}: worse than the cells as measured ({_number(as_measured)}){also}.")
    return Verdict(
        "warn", f"{_number(value)}: not worse than the cells as measured ({_number(as_measured)}), but {against}."
    )


def _is_worse(measure: Measure, value: float, other: float) -> bool:
    ours, theirs = measure.badness(value), measure.badness(other)
    return ours - theirs > _TOLERANCE * max(abs(ours), abs(theirs), _SMALLEST)


def _number(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "no number"
