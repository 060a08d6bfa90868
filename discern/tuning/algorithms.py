"""What Ray Tune is given: the scheduler and the searcher of a search."""

from collections.abc import Sequence
from typing import Any

from discern.tuning.config import SearchConfig
from discern.tuning.metrics import direction
from discern.tuning.ray_search import PopulationSearch, SpaceSearcher
from discern.tuning.schedulers import PopulationConfig
from discern.tuning.searchers import RandomConfig, Sample


def build_scheduler(config: SearchConfig, seed: int | None = None) -> Any:
    """Return the scheduler, which knows its metric and direction.

    Args:
        config: The search.
        seed: Drives random draws; None takes that of the file.

    Raises:
        ParametersError: It cannot be built from its arguments.
    """
    metric = config.scheduled_metric
    return config.scheduler.build(metric, direction(metric), config.space, _seed(config, seed))


def build_searcher(
    config: SearchConfig,
    seed: int | None = None,
    finished: Sequence[tuple[Sample, float | None]] = (),
    first: Sequence[Sample] = (),
    max_concurrent: int | None = None,
) -> SpaceSearcher | PopulationSearch:
    """Return what proposes the samples of the trials that are still to run; the configuration of a trial is a sample.

    Population-based training starts from random samples, whatever the searcher.

    Args:
        config: The search.
        seed: Drives all draws; None takes that of the file.
        finished: Samples of finished trials in the order in which they finished, with the last value of
            ``config.searched_metric``; None for a trial that failed.
        first: Samples of trials that were begun, to be proposed again before any other.
        max_concurrent: Trials at the same time at most; None takes the number of the file.

    Raises:
        OptionalDependencyError: The package that searches is not installed.
    """
    is_population = isinstance(config.scheduler, PopulationConfig)
    how = RandomConfig() if is_population else config.searcher
    how.require_installed()
    searcher = SpaceSearcher(
        how,
        config.space,
        config.searched_metric,
        _seed(config, seed),
        finished,
        first,
        max_concurrent or config.searcher.max_concurrent,
    )
    return PopulationSearch(searcher) if is_population else searcher


def _seed(config: SearchConfig, seed: int | None) -> int:
    return int(config.searcher.seed) if seed is None else seed
