"""Pictures of a search: its objective over trials and time, all trials as lines, and what matters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import rankdata

from discern.io.whole_files import replacing_file
from discern.tuning.distributions import Choice
from discern.tuning.metrics import direction
from discern.tuning.past import PastTrial
from discern.tuning.search_space import Leaf, SearchSpace
from discern.tuning.trial_values import WORST

_DPI = 120
_TICKS = 5
_LONGEST_LABEL = 14


def objective_picture(path: Path, trials: Sequence[PastTrial], metric: str) -> None:
    """Draw the last value of every trial, and the best so far over the time of the search.

    Args:
        path: A PNG file.
        trials: Trials in the order in which they began.
        metric: The objective.
    """
    figure, (over_trials, over_time) = _figure(10, 4, 2)
    values = np.array([_value(trial, metric) for trial in trials])
    known = np.isfinite(values)
    best_so_far = np.minimum.accumulate if direction(metric) == "min" else np.maximum.accumulate
    numbers = np.arange(1, len(trials) + 1)
    over_trials.plot(numbers[known], values[known], "o", label="trial")
    if known.any():
        over_trials.step(numbers[known], best_so_far(values[known]), where="post", label="best so far")
    if (~known).any():
        over_trials.plot(
            numbers[~known],
            np.zeros((~known).sum()),
            "x",
            transform=over_trials.get_xaxis_transform(),
            label="no value",
        )
    over_trials.xaxis.get_major_locator().set_params(integer=True)
    over_trials.set(xlabel="trial", ylabel=metric)
    over_trials.legend()
    reports = sorted(
        (result["reported_at"], result[metric])
        for trial in trials
        for result in trial.results
        if "reported_at" in result and abs(result.get(metric, WORST)) < WORST
    )
    if reports:
        times, seen = (np.array(column) for column in zip(*reports, strict=True))
        minutes = (times - times[0]) / 60
        over_time.plot(minutes, seen, ".", label="step of a trial")
        over_time.step(minutes, best_so_far(seen), where="post", label="best so far")
        over_time.legend()
    over_time.set(xlabel="minutes since the first report", ylabel=metric)
    _save(figure, path)


def parallel_coordinates(path: Path, space: SearchSpace, trials: Sequence[PastTrial], metric: str) -> None:
    """Draw every trial as a line through its hyperparameters to the rank of its objective; bright lines are good."""
    figure, (axes,) = _figure(1.6 * (len(space.leaves) + 2), 5, 1)
    values = np.array([_value(trial, metric) for trial in trials])
    sign = 1.0 if direction(metric) == "min" else -1.0
    ranks = rankdata(np.where(np.isfinite(values), sign * values, np.inf)) if len(trials) else values
    heights = 1.0 - (ranks - 1.0) / max(1, len(trials) - 1)
    places = np.arange(len(space.leaves) + 1)
    for number in np.argsort(heights):
        quantiles = space.quantiles(trials[number].sample)
        shown = [quantiles[leaf.name] for leaf in space.leaves]
        axes.plot(
            places, [*shown, heights[number]], color=str(0.85 - 0.6 * heights[number]), lw=0.5 + 2 * heights[number]
        )
    if len(trials):
        best = int(np.argmax(heights))
        quantiles = space.quantiles(trials[best].sample)
        axes.plot(places, [*(quantiles[leaf.name] for leaf in space.leaves), heights[best]], color="tab:orange", lw=3)
    for place, leaf in enumerate(space.leaves):
        axes.axvline(place, color="0.6", lw=0.8)
        for quantile, label in _ticks(leaf):
            axes.text(place, quantile, f" {label}", fontsize=7, va="center")
    axes.axvline(places[-1], color="0.6", lw=0.8)
    axes.set_xticks(places, [*(leaf.name.split(".")[-1] for leaf in space.leaves), f"{metric}\n(best on top)"])
    axes.set_yticks([])
    _save(figure, path)


def importance_picture(path: Path, importance: Mapping[str, float]) -> None:
    """Draw the importance of every hyperparameter."""
    figure, (axes,) = _figure(6, 1.2 + 0.4 * len(importance), 1)
    order = sorted(importance, key=lambda name: importance[name])
    axes.barh(order, [importance[name] for name in order])
    axes.set(xlabel="share of the importance (shuffled in a random forest)", xlim=(0, 1))
    _save(figure, path)


def _value(trial: PastTrial, metric: str) -> float:
    """Return the last value; NaN for trials without one."""
    value = trial.value(metric)
    return float("nan") if value is None or abs(value) >= WORST else value


def _ticks(leaf: Leaf) -> list[tuple[float, str]]:
    if isinstance(leaf.distribution, Choice):
        n = len(leaf.distribution.options)
        shown = [((place + 0.5) / n, option) for place, option in enumerate(leaf.distribution.options)]
    else:
        shown = [(quantile, leaf.distribution.at(quantile)) for quantile in np.linspace(0, 1, _TICKS).tolist()]
    return [(quantile, _label(value)) for quantile, value in shown]


def _label(value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _figure(width: float, height: float, n_columns: int) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, n_columns, squeeze=False)[0]


def _save(figure: Figure, path: Path) -> None:
    with replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=_DPI)
