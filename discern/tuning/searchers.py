"""Which sample is tried next: the ``searcher`` section of a search file, one class for every way to search.

A proposal follows from the seed, the number of samples proposed before and their results, and from nothing else: a
search that was interrupted goes on as it would have gone on.
"""

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from discern.errors import ParametersError
from discern.tuning.aims import AimingSection
from discern.tuning.search_space import SearchSpace

Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Experience:
    """What a search knows when it proposes a sample.

    Attributes:
        number: How many samples were proposed before.
        finished: Samples with their value, the smaller the better; None for those that failed.
        running: Samples without a result yet.
    """

    number: int
    finished: Sequence[tuple[Sample, float | None]] = ()
    running: Sequence[Sample] = ()

    @property
    def judged(self) -> list[tuple[Sample, float]]:
        """Finished samples that have a value."""
        return [(sample, value) for sample, value in self.finished if value is not None]


class SearcherConfig(AimingSection):
    """What all searchers have in common.

    Attributes:
        max_concurrent: Trials that run at the same time at most; null: as many as the resources allow.
        seed: Drives all draws.
    """

    max_concurrent: PositiveInt | None = None
    seed: int = Field(default=0, ge=0, lt=2**31)

    @abstractmethod
    def propose(self, space: SearchSpace, experience: Experience, seed: int) -> dict[str, Any]:
        """Return the next sample."""

    def require_installed(self) -> None:
        """Refuse to search without the package that searches.

        Raises:
            OptionalDependencyError: It is not installed.
        """
        return

    def require_suitable(self, space: SearchSpace) -> None:
        """Refuse a space that cannot be searched this way.

        Raises:
            ParametersError: Its hyperparameters are of a kind that another searcher is for.
        """
        if space.grid:
            raise ParametersError(
                f"searcher: 'grid_search' of {', '.join(space.grid)} tries every value. "
                "Use 'choice' instead, or the searcher 'grid' or 'random'."
            )


class _DrawnConfig(SearcherConfig):
    """Random samples; hyperparameters of the type ``grid_search`` take every combination in turn."""

    def propose(self, space: SearchSpace, experience: Experience, seed: int) -> dict[str, Any]:
        """Return the next sample: the last ``grid_search`` of the space changes fastest."""
        sample = space.draw(generator(seed, experience.number))
        rest = experience.number
        for name, options in reversed(space.grid.items()):
            rest, place = divmod(rest, len(options))
            sample[name] = copy.deepcopy(options[place])
        return sample


class RandomConfig(_DrawnConfig):
    """Random samples; of hyperparameters of the type ``grid_search`` every combination is tried num_samples times."""

    name: Literal["random"] = "random"

    def require_suitable(self, space: SearchSpace) -> None:
        """Accept every space."""


class GridConfig(_DrawnConfig):
    """Every combination of the hyperparameters of the type ``grid_search``; others are drawn."""

    name: Literal["grid"] = "grid"

    def require_suitable(self, space: SearchSpace) -> None:
        """Refuse a space without ``grid_search``."""
        if not space.grid:
            raise ParametersError(
                "searcher: 'grid' needs hyperparameters of the type 'grid_search'. Use 'random' instead."
            )


def seed_of(seed: int, number: int) -> int:
    """Return the seed of one proposal, below 2^31."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)


def generator(seed: int, number: int) -> np.random.Generator:
    """Return the random numbers of one proposal."""
    return np.random.default_rng([seed, number])
