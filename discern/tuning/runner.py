"""Running the trials of a search with Ray Tune, and going on where an earlier run ended.

Ray Tune's own files serve one run and are removed after it: what a search knows is in the folders of its trials.
"""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discern.errors import ExperimentError
from discern.io.whole_files import temporary_folder
from discern.ray_workers import LOCAL, ray_workers
from discern.training.received_signals import ReceivedSignals
from discern.tuning.config import SearchConfig, TrialResources
from discern.tuning.metrics import direction
from discern.tuning.past import PastTrial, read_past
from discern.tuning.progress_table import trials_shown
from discern.tuning.search_folder import SearchFolder, sample_digest

_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals end the search through EndOfSearch
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
_OBJECT_STORE_BYTES = 100 * 2**20  # nothing large travels through it
_LONGEST_FOLDER = 40  # of Ray's sockets, whose paths may have 107 bytes
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


def run_trials(folder: SearchFolder, search: SearchConfig, seed: int, received: ReceivedSignals) -> SearchEnd:
    """Run the trials that are left; trials that were begun go on first.

    Args:
        folder: The search, begun.
        search: What is searched, and how.
        seed: Drives samples and schedulers.
        received: A signal ends the run; trials can go on later.

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
            "Going on: %d trials have ended, %d go on, %d are new", len(ended), len(begun), n_left - len(begun)
        )
    with ExitStack() as stack:
        resources = stack.enter_context(_ray(search))
        storage = stack.enter_context(temporary_folder(folder.path / "ray"))
        metric = search.analysis.metric
        show = stack.enter_context(trials_shown(metric, n_left, direction(metric) == "max"))
        # imported now: Ray listens on the loopback interface only when it is imported by what starts it
        from discern.tuning.watching import EndOfSearch, TrialLog

        end = EndOfSearch(search.train_spec.stop, received, search.train_spec.time_budget_s)
        log = TrialLog(folder, search.metrics, end, show)
        _fit(_tuner(folder, search, seed, ended, begun, n_left, resources, storage, end, log))
    if log.fault is not None:
        raise log.fault
    return SearchEnd(end.reason)


@contextmanager
def _ray(search: SearchConfig) -> Iterator["_Resources"]:
    """Start Ray or connect to it, and give what a trial can have there."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    wanted = search.train_spec.resources_per_trial
    address = search.setup.address or LOCAL
    with ExitStack() as stack:
        of_local: dict[str, Any] = {}
        if address == LOCAL:
            of_local = {"num_gpus": search.setup.num_gpus, "object_store_memory": _OBJECT_STORE_BYTES}
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True))
            if len(scratch) <= _LONGEST_FOLDER:
                of_local["_temp_dir"] = scratch
        stack.enter_context(ray_workers(address, search.setup.num_cpus, **of_local))
        yield _Resources.of_cluster(wanted)


@dataclass(frozen=True)
class _Resources:
    """What one trial is given, and how many trials fit.

    Attributes:
        bundles: CPUs and GPUs of the trial, and what is reserved beside it.
        n_trials: How many run at the same time.
    """

    bundles: list[dict[str, float]]
    n_trials: int

    @classmethod
    def of_cluster(cls, wanted: TrialResources) -> "_Resources":
        """Return what is wanted, or what the largest machine of the cluster has when that is less."""
        import ray

        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        asked = {"CPU": (wanted.cpu, wanted.extra_cpu), "GPU": (wanted.gpu, wanted.extra_gpu)}
        bundles: list[dict[str, float]] = [{}, {}]
        for kind, (own, extra) in asked.items():
            most = max((float(machine.get(kind, 0.0)) for machine in machines), default=0.0)
            given = (min(own, most), min(extra, max(0.0, most - own)))
            if given != (own, extra):
                _LOGGER.warning(
                    "train_spec.resources_per_trial asks for %g %ss, the largest machine has %g: a trial gets %g.",
                    own + extra,
                    kind,
                    most,
                    sum(given),
                )
            for bundle, amount in zip(bundles, given, strict=True):
                bundle.update({kind: amount} if amount else {})
        total = {kind: sum(float(machine.get(kind, 0.0)) for machine in machines) for kind in asked}
        takes = {kind: sum(bundle.get(kind, 0.0) for bundle in bundles) for kind in asked}
        fitting = min(int(total[kind] / takes[kind] + 1e-9) for kind in asked if takes[kind])
        return cls([bundle for bundle in bundles if bundle] or [{"CPU": 1.0}], max(1, fitting))


def _tuner(
    folder: SearchFolder,
    search: SearchConfig,
    seed: int,
    ended: Sequence[PastTrial],
    begun: Sequence[PastTrial],
    n_left: int,
    resources: _Resources,
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
        first=[trial.sample for trial in begun],
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
