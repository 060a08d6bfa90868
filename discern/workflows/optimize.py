"""``optimize``: search hyperparameters of one processed experiment."""

import json
import logging
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from discern.errors import ExperimentError, ParametersError, StoppedBySignalError, counted
from discern.io.processed_annotation import read_annotation
from discern.io.record_schema import genes_digest
from discern.io.whole_files import write_json
from discern.training.received_signals import ReceivedSignals, signals_received
from discern.tuning.config import SearchConfig, read_search
from discern.tuning.past import PastTrial, begin_or_go_on, read_past
from discern.tuning.results import write_results
from discern.tuning.runner import run_trials
from discern.tuning.search_folder import SearchFolder
from discern.tuning.space_check import check_space
from discern.workflows.experiment import Experiment
from discern.workflows.process import search_file
from discern.workflows.working_alone import working_alone

_FORMAT = 1
_DEFAULT_CELLS = 1000  # to compare for mmd and auc
_DECIDE_NO_TRIAL = ("GPU", "parallel_pc", "tensorboard", "umap_every")
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class OptimizeResult:
    """What a search found so far.

    Attributes:
        n_trials: Trials that were begun.
        best: Name of the best trial; empty when none can be used.
        metric: What decided.
        value: Its best value.
        ended_early: Why trials are left; empty when none are.
    """

    n_trials: int
    best: str
    metric: str
    value: float | None
    ended_early: str


class SearchInterruptedError(StoppedBySignalError):
    """A search was ended by a signal and can go on."""

    def __init__(self, received: ReceivedSignals, n_ended: int, n_trials: int):
        """Say how to go on.

        Args:
            received: The signal.
            n_ended: Trials that have ended.
            n_trials: All trials of the search.
        """
        number = int(received.first or 0)
        name = received.first.name if received.first is not None else "a signal"
        super().__init__(
            f"The search was interrupted ({name}): {n_ended} of {counted(n_trials, 'trial')} ended, what is known is written. "
            "The next `discern optimize` goes on."
        )
        self.exit_code = 128 + number


@working_alone("optimize")
def optimize(
    experiment: Experiment,
    *,
    num_samples: int | None = None,
    concurrent: int | None = None,
    time_budget: float | None = None,
    address: str | None = None,
    restart: bool = False,
    gpus: list[int] | None = None,
) -> OptimizeResult:
    """Search, or go on with an earlier search; the results are in the folder ``optimize`` of the experiment.

    The first trial has the parameters as they are, where the search space holds them: the best is at least as good.

    Args:
        experiment: A processed experiment with a search file.
        num_samples: Trials in place of ``train_spec.num_samples``.
        concurrent: Trials at the same time at most, in place of ``searcher.max_concurrent``.
        time_budget: Seconds, in place of ``train_spec.time_budget_s``; what is left then waits for the next run.
        address: Ray cluster in place of ``setup.address``; ``local`` starts Ray for this search.
        restart: Begin anew; the earlier search is kept in ``optimize/backup/1``, ``2``, ...
        gpus: Not used: Ray hands out the GPUs.

    Raises:
        ParametersError: Search file or search space are invalid.
        ExperimentError: The experiment was not processed, the search was begun otherwise, no cluster answers, or no
            trial can be used.
        SearchInterruptedError: A signal came; what is known is written.
    """
    path = search_file_of(experiment)
    search = _changed(read_search(path), num_samples, concurrent, time_budget, address)
    folder = SearchFolder(experiment.folder.optimize)
    seed = (experiment.config.training.seed + search.searcher.seed) % 2**31
    description = _description(experiment, search, seed)
    _check_targets(search, description["data"]["batches"], path)
    check_space(search.space, experiment.content, str(path), seed)
    if restart and (kept := folder.set_aside()) is not None:
        _LOGGER.info("The earlier search is kept in %s.", kept)
    begin_or_go_on(folder, description)
    with signals_received() as received:
        end = run_trials(folder, search, seed, received, _present(experiment, search))
        trials = read_past(folder)
        best = _write(folder, search, trials, experiment, seed)
    if received.first is not None:
        raise SearchInterruptedError(received, sum(bool(trial.status) for trial in trials), search.n_trials)
    if end.reason:
        _LOGGER.warning("The search ended early: %s. The next `discern optimize` goes on.", end.reason)
    if best is None:
        raise _nothing_usable(trials, end.reason)
    metric = search.analysis.metric
    value = best.value(metric)
    _LOGGER.info(
        "Best of %s: %s, %s %.5g, %s. Project it with `discern project %s`.",
        counted(len(trials), "trial"),
        best.folder.name,
        metric,
        value,
        ", ".join(f"{name} {_shown(one)}" for name, one in best.sample.items()),
        folder.best_parameters,
    )
    return OptimizeResult(len(trials), best.folder.name, metric, value, end.reason)


def _present(experiment: Experiment, search: SearchConfig) -> dict[str, Any] | None:
    """Return the sample of the parameters as they are; None where the space does not hold it, or every option is tried."""
    if search.space.grid:
        return None
    found = search.space.values_in(experiment.content, experiment.config.model_dump(mode="json"))
    outside = [name for name in search.space.names if name not in found]
    if outside:
        _LOGGER.info(
            "No trial has the parameters as they are: the search space does not hold their %s.", ", ".join(outside)
        )
        return None
    return found


def search_file_of(experiment: Experiment) -> Path:
    """Return the search file: the one that the parameters name, else that of the experiment folder, else one beside.

    Raises:
        ParametersError: There is none.
    """
    named = search_file(experiment)
    own = experiment.folder.hyperparameter_file
    beside = experiment.parameters_file.resolve().parent / own.name
    found = next((one for one in (named, own, beside) if one is not None and one.is_file()), None)
    if found is None:
        raise ParametersError(
            f"There is no {own.name} in {experiment.folder.path} or beside {experiment.parameters_file}, and "
            f"experiments.{experiment.name}.hyperparameter_search names none. Write one; this package has an example."
        )
    return found


def _changed(
    search: SearchConfig,
    num_samples: int | None,
    concurrent: int | None,
    time_budget: float | None,
    address: str | None,
) -> SearchConfig:
    changes: dict[str, dict[str, Any]] = {"train_spec": {}, "searcher": {}, "setup": {}}
    if num_samples is not None:
        changes["train_spec"]["num_samples"] = num_samples
    if time_budget is not None:
        changes["train_spec"]["time_budget_s"] = time_budget
    if concurrent is not None:
        changes["searcher"]["max_concurrent"] = concurrent
    if address is not None:
        changes["setup"]["address"] = None if address == "local" else address
        if address != "local":
            changes["setup"] |= {"num_cpus": None, "num_gpus": None}
    changes = {section: values for section, values in changes.items() if values}
    return search.with_changes(changes) if changes else search


def _check_targets(search: SearchConfig, batches: list[str], path: Path) -> None:
    unknown = [name for name in search.train_spec.config.batch_to_check or () if name not in batches]
    if unknown:
        raise ParametersError(
            f"{path}: train_spec.config.batch_to_check: '{unknown[0]}' is no batch of the data. Found: {', '.join(batches)}."
        )


def _description(experiment: Experiment, search: SearchConfig, seed: int) -> dict[str, Any]:
    """Return what decides the trials of a search, and where they find their data."""
    annotation = read_annotation(experiment.folder.processed_file)
    training = experiment.config.training
    content = {name: section for name, section in experiment.content.items() if name in {"model", "training"}}
    content["training"] = {
        name: value for name, value in content.get("training", {}).items() if name not in _DECIDE_NO_TRIAL
    }
    n_minibatches = search.train_spec.config.validation_batches
    zeros = annotation.transform.zeros(annotation.n_genes)
    return {
        "format": _FORMAT,
        "experiment": {"folder": str(experiment.folder.path.resolve()), "content": experiment.content},
        "deciding": content,
        "data": {
            "batches": annotation.batches,
            "genes_sha256": genes_digest(annotation.genes),
            "cells_sha256": annotation.cells_sha256,
            "scaling_sha256": sha256(zeros.tobytes()).hexdigest(),
            "library_size": annotation.transform.library_size,
        },
        "search": json.loads(search.model_dump_json()),
        "metrics": sorted(search.metrics),
        "seed": seed,
        "batch_size": training.batch_size,
        "cells_to_compare": _DEFAULT_CELLS if n_minibatches is None else n_minibatches * training.batch_size,
    }


def _write(
    folder: SearchFolder, search: SearchConfig, trials: list[PastTrial], experiment: Experiment, seed: int
) -> PastTrial | None:
    """Write the results, and the pictures where there is something to see."""
    metric = search.analysis.metric
    best = write_results(folder, trials, metric, experiment.folder)
    judged = [(trial, value) for trial in trials if (value := trial.value(metric)) is not None]
    if not judged:
        return best
    from discern.tuning.importance import importances
    from discern.tuning.pictures import importance_picture, objective_picture, parallel_coordinates

    known = [trial for trial, _ in judged]
    objective_picture(folder.pictures / "objective.png", trials, metric)
    parallel_coordinates(folder.pictures / "parallel_coordinates.png", search.space, known, metric)
    importance = importances(search.space, [trial.sample for trial in known], [value for _, value in judged], seed)
    if importance is not None:
        write_json(folder.importance, importance)
        importance_picture(folder.pictures / "importance.png", importance)
    return best


def _nothing_usable(trials: list[PastTrial], reason: str) -> ExperimentError:
    whys = [why for trial in trials if (why := (trial.folder.read_outcome() or {}).get("why"))]
    if whys:
        return ExperimentError(f"No trial of {len(trials)} can be used. The first ended with: {whys[0]}")
    return ExperimentError(
        f"No trial has reported anything{f': {reason}' if reason else ''}. Give the search more time."
    )


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
