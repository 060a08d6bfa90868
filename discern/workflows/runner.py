"""Running one verb for every experiment, and the published names that do so.

What needs TensorFlow is imported when it is called: ``process`` needs none and must not pay for it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from discern.available_cpus import available_cpus
from discern.config.loading import read_json
from discern.errors import DiscernError, ParametersError
from discern.projection.targets import Target, check_target
from discern.registry import Entry, Registry
from discern.workflows.experiment import Experiment, experiment_of_folder
from discern.workflows.provenance import run_recorded
from discern.workflows.readiness import refuse_unready
from discern.workflows.side_by_side import Outcome, gpus_of_this_machine, run_each

if TYPE_CHECKING:
    from discern.estimator import DISCERN

_LOGGER = logging.getLogger(__name__)


class DISCERNRunner:
    """Run a mode for every experiment: side by side within the CPU budget, or one per GPU."""

    modes = Registry(
        "mode",
        {
            "process": Entry("discern.workflows.process:process"),
            "train": Entry("discern.workflows.train:train"),
            "project": Entry("discern.workflows.project:project"),
            "evaluate": Entry("discern.workflows.evaluate:evaluate"),
            "optimize": Entry("discern.workflows.optimize:optimize"),
        },
    )

    def __init__(self, debug: bool = False, gpus: Sequence[int] | None = None):
        """Choose where to run.

        Args:
            debug: Run only the first experiment, in this process.
            gpus: GPUs to share out, of which those are used that an experiment names; those of the machine when None.
        """
        self.debug = debug
        self.gpus = list(gpus_of_this_machine() if gpus is None else gpus)
        self.start_process: Callable[[], None] | None = None

    def __call__(self, mode: str, experiments: Sequence[Experiment | Path | str], **kwargs: Any) -> list[Outcome]:
        """Run.

        Args:
            mode: One of :attr:`modes`.
            experiments: Experiments, or folders with a parameters.json.
            **kwargs: Arguments of the mode.

        Returns:
            One outcome per experiment. A single experiment runs in this process and raises what it raises.

        Raises:
            ParametersError: The mode is unknown or there is no experiment.
        """
        mode = self.modes.canonical(mode)
        work = partial(_load_and_run, mode, self.modes.entries[mode])
        known = [one if isinstance(one, Experiment) else experiment_of_folder(Path(one)) for one in experiments]
        if not known:
            raise ParametersError("There is no experiment to run.")
        if self.debug or len(known) == 1:
            return [Outcome(known[0].name, result=work(known[0], **kwargs))]
        return run_each(work, known, kwargs, self._slots(mode, known), self.start_process)

    def _slots(self, mode: str, experiments: Sequence[Experiment]) -> list[dict[str, Any]]:
        if mode == "process":
            wanted = [one.config.input_ds.n_cpus_preprocessing for one in experiments]
            budget = min(available_cpus(), max(wanted)) if all(wanted) else available_cpus()
            at_once = min(len(experiments), budget)
            return [{"n_jobs": budget // at_once}] * at_once
        return [{"gpus": [gpu]} for gpu in self.gpus] or [{}]


def _load_and_run(mode: str, work: Entry, experiment: Experiment, **arguments: Any) -> Any:
    """Import the work where it runs, as another process first sets up what TensorFlow may print; record how it went."""
    if not experiment.config.training.GPU or mode == "undo":
        arguments.pop("gpus", None)  # it asks for the CPU, whichever GPU is free

    def begun(one: Experiment, **its: Any) -> Any:
        refuse_unready(one, mode, its)
        return work.load()(one, **its)

    return run_recorded(mode, experiment, begun, arguments)


class OnlineDISCERNRunner(DISCERNRunner):
    """Run online training for every experiment, or take the last one back."""

    modes = Registry(
        "mode",
        {
            "onlinetraining": Entry("discern.workflows.online_training:train_online"),
            "undo": Entry("discern.workflows.undo:undo_online"),
        },
    )


def setup_exp(exp_folder: Path) -> "tuple[DISCERN, dict[str, Any]]":
    """Return the configured estimator and the parameters of an experiment folder; threads and GPUs are set."""
    from discern.estimator import DISCERN
    from discern.training.devices import set_gpu_and_threads

    experiment = experiment_of_folder(Path(exp_folder))
    training = experiment.config.training
    set_gpu_and_threads(training.parallel_pc, training.GPU, training.deterministic)
    parameters = read_json(experiment.folder.parameters_file)
    return DISCERN(**parameters), parameters


def run_train(exp_folder: Path, input_path: Path | None = None) -> None:
    """Train the experiment of a folder.

    Args:
        exp_folder: A processed experiment.
        input_path: Folder of the training records; the experiment's own when None.
    """
    experiment = experiment_of_folder(Path(exp_folder))
    _load_and_run(
        "train",
        DISCERNRunner.modes.entries["train"],
        experiment,
        tfrecords=None if input_path is None else Path(input_path),
    )


def run_projection(
    exp_folder: Path,
    metadata: Sequence[tuple[str, str | None] | str],
    infile: Path | None,
    all_batches: bool,
    store_sigmas: bool,
) -> list[Path]:
    """Project the cells of a trained experiment; arguments as of :func:`discern.workflows.project.project`."""
    targets = [Target.parse(one) if isinstance(one, str) else Target.of(*one) for one in metadata or ()]
    paths: list[Path] = _load_and_run(
        "project",
        DISCERNRunner.modes.entries["project"],
        experiment_of_folder(Path(exp_folder)),
        targets=targets,
        all_batches=all_batches,
        filename=None if infile is None else Path(infile),
        store_sigmas=store_sigmas,
    )
    return paths


def run_exp_multiprocess(
    exp_folder: Path, available_gpus: Any, func: Callable[..., Any], kwargs: Mapping[str, Any] | None = None
) -> int:
    """Run ``func(exp_folder, **kwargs)`` on the next free GPU; return 0, or 1 when it failed (which is logged).

    Args:
        exp_folder: Folder of the experiment.
        available_gpus: Queue of free GPU indices; one is held while ``func`` runs. None: no GPU is chosen here.
        func: What to run.
        kwargs: Its further arguments.
    """
    gpu = None if available_gpus is None else available_gpus.get()
    try:
        if gpu is not None:
            from discern.training.devices import set_gpu_and_threads

            set_gpu_and_threads(0, [gpu])
        func(exp_folder, **(kwargs or {}))
    except DiscernError as error:
        _LOGGER.error("%s failed: %s", exp_folder, error)
        return 1
    except Exception:  # published contract: the code says that it failed, the log why
        _LOGGER.exception("%s failed", exp_folder)
        return 1
    finally:
        if gpu is not None:
            available_gpus.put(gpu)
    return 0


class CheckMetaData:
    """Check projection targets against the annotation of the cells."""

    def __init__(self, dataframe: pd.DataFrame):
        """Remember the annotation.

        Args:
            dataframe: obs of the cells.
        """
        self._check = partial(check_target, dataframe)

    def check(self, column_value: Sequence[str | None]) -> None:
        """Refuse a [column, value] that does not occur.

        Raises:
            DataError: The column is absent, the value does not occur, or cells have none.
        """
        column, value = column_value
        self._check(Target.of(column, value))
