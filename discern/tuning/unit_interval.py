"""Samples as numbers between 0 and 1 and places of options: what every library that searches understands."""

from collections.abc import Mapping
from typing import Any

from discern.tuning.distributions import Choice
from discern.tuning.search_space import Leaf, SearchSpace


def numbered(space: SearchSpace) -> list[tuple[str, Leaf]]:
    """Return the hyperparameters under names that no library minds."""
    return [(f"value{number}", leaf) for number, leaf in enumerate(space.leaves)]


def to_unit(space: SearchSpace, sample: Mapping[str, Any]) -> dict[str, float | int]:
    """Return the quantiles of a sample, and the places of options."""
    quantiles = space.quantiles(sample)
    unit: dict[str, float | int] = {}
    for name, leaf in numbered(space):
        values, quantile = leaf.distribution, quantiles[leaf.name]
        unit[name] = int(quantile * len(values.options)) if isinstance(values, Choice) else quantile
    return unit


def from_unit(space: SearchSpace, unit: Mapping[str, float | int]) -> dict[str, Any]:
    """Return the sample of quantiles and places of options."""
    quantiles = {}
    for name, leaf in numbered(space):
        values, place = leaf.distribution, float(unit[name])
        quantiles[leaf.name] = (place + 0.5) / len(values.options) if isinstance(values, Choice) else place
    return space.at(quantiles)
