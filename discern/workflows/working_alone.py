"""Verbs that write into an experiment work on it alone."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from discern.io.experiment_lock import experiment_lock
from discern.online_learning.staging import recover
from discern.workflows.experiment import Experiment, experiment_of_folder

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Work = Callable[Concatenate[Experiment, Arguments], Result]


def working_alone(verb: str) -> Callable[[Work[Arguments, Result]], Work[Arguments, Result]]:
    """Return a decorator: the function holds the lock of its experiment, its first argument, while it runs.

    What a killed process left half done is finished first.

    Args:
        verb: The command, for the message to a second process.
    """

    def decorate(work: Work[Arguments, Result]) -> Work[Arguments, Result]:
        @wraps(work)
        def alone(experiment: Experiment, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with experiment_lock(experiment.folder, verb):
                return work(_recovered(experiment), *args, **kwargs)

        return alone

    return decorate


def _recovered(experiment: Experiment) -> Experiment:
    """Finish what a killed process began; return the experiment with the parameters that hold then."""
    folder = experiment.folder
    own, read_from = folder.parameters_file, experiment.parameters_file
    if not folder.journal.exists() or own.resolve() != read_from.resolve():
        recover(folder)
        return experiment
    seed, seed_in_file = (one.config.training.seed for one in (experiment, experiment_of_folder(folder.path)))
    recover(folder)
    now = experiment_of_folder(folder.path)
    return now if seed == seed_in_file else now.with_seed(seed)  # one that was asked for in place of the file's
