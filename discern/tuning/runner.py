"""Running the trials of a search with Ray Tune, and going on where an earlier run ended.

Ray Tune's own files serve one run and are removed after it: what a search knows is in the folders of its trials.
"""

import logging
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discern.errors import ExperimentError, counted
from discern.io.whole_files import temporary_folder
from discern.training.received_signals import ReceivedSignals, noticed_by
from discern.tuning.cluster import TrialShare, search_cluster
from discern.tuning.config import SearchConfig
from discern.tuning.metrics import direction
from discern.tuning.past import PastTrial, read_past
from discern.tuning.progress_table import trials_shown
from discern.tuning.search_folder import SearchFolder, sample_digest
from discern.tuning.searchers import Sample

_PAUSES_NONE = {"ASHA", "FIFO", "median"}
_LEARNS_FROM_ENDED = {"ASHA", "median"}
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchEnd:
    """How a run of a search ended.

    Attributes:
        reason: Why it ended before all trials had; empty when they all have.
    """

    reason: str = ""


def run_trials(
    folder: SearchFolder, search: SearchConfig, seed: int, received: ReceivedSignals, start: Sample | None = None
) -> SearchEnd:
    """Run the trials that are left; trials that were begun go on first.

    Args:
        folder: The search, begun.
        search: What is searched, and how.
        seed: Drives samples and schedulers.
        received: A signal ends the run; trials can go on later.
        start: What the first trial tries; None leaves it to the searcher.

    Raises:
        ExperimentError: No Ray cluster answers at the address.
        ParametersError: The scheduler cannot be built, or a metric is not reported.
    """
    past = read_past(folder)
    ended = sorted((trial for trial in past if trial.status), key=lambda trial: trial.ended_at)
    n_left = search.n_trials - len(ended)
    if n_left <= 0:
        return SearchEnd()
    begun = [trial for trial in past if not trial.status][:n_left]
    if past:
        _LOGGER.info(
            "Going on: %s ended before, %d to go on, %d new",
            counted(len(ended), "trial"),
            len(begun),
            n_left - len(begun),
        )
    first: list[Sample] = [trial.sample for trial in begun]
    if start is not None and len(first) < n_left and not any(trial.sample == start for trial in past):
        first.append(start)
    with ExitStack() as stack:
        resources = stack.enter_context(search_cluster(search))
        stack.enter_context(noticed_by(received))  # Ray ends the process at SIGTERM
        storage = stack.enter_context(temporary_folder(folder.path / "ray"))
        _warn_of_turns(search.scheduler.name, n_left, resources.n_trials)
        metric = search.analysis.metric
        show = stack.enter_context(trials_shown(metric, n_left, direction(metric) == "max"))
        # imported now: Ray listens on the loopback interface only when it is imported by what starts it
        from discern.tuning.watching import EndOfSearch, TrialLog

        end = EndOfSearch(search.train_spec.stop, received, search.train_spec.time_budget_s)
        log = TrialLog(folder, search.metrics, end, show)
        try:
            _fit(_tuner(folder, search, seed, ended, begun, first, n_left, resources, storage, end, log))
        except ExperimentError:  # the signal may have ended Ray as well
            if not end.is_interrupted(seconds=2.0):
                raise
            end.stop_all()
    if log.fault is not None:
        raise log.fault
    return SearchEnd(end.reason)


def _warn_of_turns(scheduler: str, n_left: int, n_at_once: int) -> None:
    """Say that a scheduler which keeps all trials alive is slow where they do not fit."""
    if scheduler not in _PAUSES_NONE and n_left > n_at_once:
        _LOGGER.warning(
            "%s keeps all %d trials alive, and only %d can run at the same time: they take turns, and each turn begins with "
            "a new process, which takes seconds. Faster are fewer trials (train_spec.num_samples), longer steps "
            "(train_spec.config.epochs_per_timestep), or the scheduler ASHA.",
            scheduler,
            n_left,
            n_at_once,
        )


def _tuner(
    folder: SearchFolder,
    search: SearchConfig,
    seed: int,
    ended: Sequence[PastTrial],
    begun: Sequence[PastTrial],
    first: Sequence[Sample],
    n_left: int,
    resources: TrialShare,
    storage: Path,
    end: Any,
    log: Any,
) -> Any:
    from ray import tune
    from ray.tune.logger import JsonLoggerCallback

    from discern.tuning.algorithms import build_scheduler, build_searcher
    from discern.tuning.trial import SEARCH_FOLDER, SearchTrial

    scheduler = build_scheduler(search, seed)
    _teach(scheduler, search, ended)
    at_once = search.searcher.max_concurrent
    if search.scheduler.name in _PAUSES_NONE:  # others need more trials than run
        at_once = min(at_once or resources.n_trials, resources.n_trials)
    searcher = build_searcher(
        search,
        seed,
        finished=[(trial.sample, trial.value(search.searched_metric)) for trial in ended],
        first=first,
        max_concurrent=at_once,
    )
    spec = search.train_spec
    trainable = tune.with_resources(SearchTrial, tune.PlacementGroupFactory(resources.bundles))
    return tune.Tuner(
        trainable,
        param_space={SEARCH_FOLDER: str(folder.path.resolve())},
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=n_left,
            reuse_actors=False,  # TensorFlow gives memory back only with its process
            trial_name_creator=_TrialNames(folder, search, begun),
            trial_dirname_creator=str,
        ),
        run_config=tune.RunConfig(
            name=spec.name,
            storage_path=str(storage.resolve()),
            stop=end,
            callbacks=[log, JsonLoggerCallback()],  # Ray misses its own files otherwise
            failure_config=tune.FailureConfig(max_failures=spec.max_failures),
            verbose=0,
        ),
    )


def _fit(tuner: Any) -> None:
    from ray.exceptions import RayError
    from ray.tune import TuneError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice for programmers of trials
        try:
            tuner.fit()
        except (RayError, TuneError) as error:
            told = " ".join(str(error).split())
            raise ExperimentError(
                f"Ray ended the search: {told}. What trials have reported is kept; the next `discern optimize` goes on."
            ) from error


class _TrialNames:
    """Names trials: a number and digits of the sample; a trial that was begun keeps its name."""

    def __init__(self, folder: SearchFolder, search: SearchConfig, begun: Sequence[PastTrial]):
        self._names = search.space.names
        self._begun: dict[str, list[str]] = {}
        for trial in begun:
            self._begun.setdefault(sample_digest(trial.sample), []).append(trial.folder.name)
        numbers = [int(one.name.partition("_")[0]) for one in folder.all_trials() if one.name[:1].isdecimal()]
        self._number = max(numbers, default=0)

    def __deepcopy__(self, memo: Any) -> "_TrialNames":
        """Return itself: Ray Tune copies it for every trial, and the copies would all count from the same number."""
        return self

    def __call__(self, trial: Any) -> str:
        """Return the name of a trial that Ray Tune makes."""
        digest = sample_digest({name: trial.config[name] for name in self._names})
        if self._begun.get(digest):
            return self._begun[digest].pop(0)
        self._number += 1
        return f"{self._number:04d}_{digest}"


class _Ended:
    """A trial of an earlier run, as schedulers know trials."""

    def __init__(self, name: str):
        self.trial_id = name

    def get_live_trials(self) -> list[Any]:
        """Return none: it stands for the run that it belonged to, too."""
        return []


def _teach(scheduler: Any, search: SearchConfig, ended: Sequence[PastTrial]) -> None:
    """Tell a scheduler that compares trials with earlier ones what these reported."""
    if search.scheduler.name not in _LEARNS_FROM_ENDED:
        return
    for trial in ended:
        known = _Ended(trial.folder.name)
        scheduler.on_trial_add(known, known)
        for number, result in enumerate(trial.results, start=1):
            scheduler.on_trial_result(known, known, {"training_iteration": number, **result})
        if trial.results:
            scheduler.on_trial_complete(known, known, {"training_iteration": len(trial.results), **trial.results[-1]})
