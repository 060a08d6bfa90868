"""Signs that a model did too much or too little: over-mixing, over-smoothing, batches that stay apart."""

from dataclasses import dataclass
from math import isnan

from discern.evaluation.methods import AS_MEASURED, RECONSTRUCTED, SMOOTHED
from discern.evaluation.shown_cells import LATENT_SPACE, MEASURED_SPACE, RECONSTRUCTED_SPACE, ShownCells
from discern.evaluation.table import Evaluation

_LOST_NEIGHBOURS = 0.1
_LOST_AGREEMENT = 0.05
_LEAST_SPREAD = 0.5
_SPURIOUS = 0.02
_APART = 0.6


@dataclass(frozen=True)
class Caution:
    """One thing a reader should know before trusting the result.

    Attributes:
        kind: Short name of what it is a sign of.
        text: What was found, and what to do.
    """

    kind: str
    text: str


def cautions(evaluation: Evaluation, shown: ShownCells | None) -> list[Caution]:
    """Return all warnings that numbers give rise to; none is good news.

    Args:
        evaluation: The table.
        shown: The cells of the report, if there are any.
    """
    return [*_over_mixing(evaluation, shown), *_over_smoothing(evaluation, shown), *_under_mixing(shown)]


def _over_mixing(evaluation: Evaluation, shown: ShownCells | None) -> list[Caution]:
    found = []
    if shown is not None:
        before = shown.neighbourhoods[MEASURED_SPACE].own_type
        for space in (LATENT_SPACE, RECONSTRUCTED_SPACE):
            after = shown.neighbourhoods[space].own_type
            if before - after > _LOST_NEIGHBOURS:
                found.append(
                    f"{after:.0%} of a cell's neighbours are of its own type ({space}), {before:.0%} as measured: types "
                    "lie less far apart than before. Look at the pictures by type, and train longer."
                )
    before_, after_ = _pair(evaluation, "fold_change_correlation", AS_MEASURED.name)
    if before_ - after_ > _LOST_AGREEMENT:
        found.append(
            f"Differences between types agree less with the target batch than before ({after_:.2f}, as measured "
            f"{before_:.2f}). Do not test reconstructed expression for differences between types."
        )
    return [Caution("Over-mixing", text) for text in found]


def _over_smoothing(evaluation: Evaluation, shown: ShownCells | None) -> list[Caution]:
    found = []
    if shown is not None and shown.spread < _LEAST_SPREAD:
        found.append(
            f"Within a type, reconstructed cells vary {shown.spread:.2f} times as much as averages over 15 neighbours: "
            "cells of a type were made alike. Differences between single cells are lost."
        )
    smoothed, ours = _pair(evaluation, "variance_ratio", SMOOTHED.name)
    if ours < _LEAST_SPREAD * smoothed:
        found.append(
            f"Of the variance of hidden counts {ours:.2f} is recovered; averages over neighbours have {smoothed:.2f}."
        )
    before, after = _pair(evaluation, "spurious_differences", AS_MEASURED.name)
    if after - before > _SPURIOUS:
        found.append(
            f"{after:.1%} of the genes differ between random halves of one type (as measured {before:.1%}): cells are no "
            "longer independent of each other, and tests between groups find too much."
        )
    return [Caution("Over-smoothing", text) for text in found]


def _under_mixing(shown: ShownCells | None) -> list[Caution]:
    if shown is None or not shown.neighbourhoods[LATENT_SPACE].apart > _APART:
        return []
    near = shown.neighbourhoods[LATENT_SPACE]
    return [
        Caution(
            "Batches apart",
            f"{near.own_batch:.0%} of a cell's neighbours of its type are of its own batch in the latent codes "
            f"({near.own_batch_if_mixed:.0%} at random): cells of the target batch tell the model little about others. "
            "Train longer, or choose a target batch that is more like the others.",
        )
    ]


def _pair(evaluation: Evaluation, measure: str, other: str) -> tuple[float, float]:
    """Return the values of another method and of the reconstruction; NaN, with which nothing compares, where absent."""
    values = [evaluation.value(name, measure) for name in (other, RECONSTRUCTED.name)]
    first, second = (float("nan") if value is None or isnan(value) else value for value in values)
    return first, second
