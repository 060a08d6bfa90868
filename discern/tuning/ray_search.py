"""Searchers as Ray Tune wants them, around the ``searcher`` section of a search file."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import SearchAlgorithm, Searcher, SearchGenerator

from discern.tuning.metrics import Mode, direction
from discern.tuning.search_space import SearchSpace
from discern.tuning.searchers import Experience, Sample, SearcherConfig


class SpaceSearcher(Searcher):
    """A searcher of Ray Tune that asks the ``searcher`` section of a search file for samples."""

    def __init__(
        self,
        config: SearcherConfig,
        space: SearchSpace,
        metric: str,
        seed: int,
        finished: Sequence[tuple[Sample, float | None]] = (),
        first: Sequence[Sample] = (),
        max_concurrent: int | None = None,
    ):
        """Go on from what is known.

        Args:
            config: How samples are found.
            space: What is varied.
            metric: The reported number that judges a sample.
            seed: Drives all draws.
            finished: Samples with their value, None for those that failed.
            first: Samples to propose before others.
            max_concurrent: Trials at the same time at most.
        """
        mode: Mode = direction(metric)
        super().__init__(metric=metric, mode=mode)
        self._config, self._space, self._seed, self._max_concurrent = config, space, seed, max_concurrent
        self._sign = 1.0 if mode == "min" else -1.0
        self._finished = [(dict(sample), self._smaller_is_better(value)) for sample, value in finished]
        self._first = [dict(sample) for sample in first]
        self._running: dict[str, dict[str, Any]] = {}
        self._number = len(self._finished)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the sample of a new trial; None while as many run as may."""
        if self._max_concurrent is not None and len(self._running) >= self._max_concurrent:
            return None
        if self._first:
            sample = self._first.pop(0)
        else:
            running = list(self._running.values())
            sample = self._config.propose(self._space, Experience(self._number, self._finished, running), self._seed)
        self._number += 1
        self._running[trial_id] = sample
        return dict(sample)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Learn from a finished trial; one that failed or has no finite value teaches nothing."""
        sample = self._running.pop(trial_id, None)
        if sample is not None:
            value = None if error or not result else result.get(self.metric)
            self._finished.append((sample, self._smaller_is_better(value)))

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept what Ray Tune tells: metric, direction and space are known already."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Write the finished samples as JSON."""
        Path(checkpoint_path).write_text(json.dumps(self._finished), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Read what :meth:`save` wrote."""
        written = json.loads(Path(checkpoint_path).read_text(encoding="utf-8"))
        self._finished = [(sample, value) for sample, value in written]
        self._number = len(self._finished)

    def _smaller_is_better(self, value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else self._sign * float(value)


class PopulationSearch(SearchAlgorithm):
    """Hands on a searcher's samples to population-based training, which accepts no generator of Ray Tune itself.

    Ray Tune refuses them since results of a trial whose hyperparameters change say little of its first sample; random
    samples, which learn from no result, have no such fault.
    """

    def __init__(self, searcher: Searcher):
        """Hand on the samples of a searcher."""
        self._generator = SearchGenerator(searcher)

    @property
    def metric(self) -> str:
        """The reported number that judges a sample."""
        return str(self._generator.metric)

    @property
    def total_samples(self) -> int:
        """Number of trials."""
        return int(self._generator.total_samples)

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept what Ray Tune tells: metric, direction and space are known already."""
        return True

    def add_configurations(self, experiments: Any) -> None:
        """Take the experiment whose trials are wanted."""
        self._generator.add_configurations(experiments)

    def next_trial(self) -> Any:
        """Return a new trial, or None."""
        return self._generator.next_trial()

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Make room for another trial."""
        self._generator.on_trial_complete(trial_id, result, error)

    def is_finished(self) -> bool:
        """Tell whether no trial is left to start."""
        return bool(self._generator.is_finished())

    def set_finished(self) -> None:
        """Start no further trial."""
        self._generator.set_finished()
