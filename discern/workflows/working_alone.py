"""Verbs that write into an experiment work on it alone."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from discern.io.experiment_lock import experiment_lock
from discern.workflows.experiment import Experiment

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Work = Callable[Concatenate[Experiment, Arguments], Result]


def working_alone(verb: str) -> Callable[[Work[Arguments, Result]], Work[Arguments, Result]]:
    """Return a decorator: the function holds the lock of its experiment, its first argument, while it runs.

    Args:
        verb: The command, for the message to a second process.
    """

    def decorate(work: Work[Arguments, Result]) -> Work[Arguments, Result]:
        @wraps(work)
        def alone(experiment: Experiment, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with experiment_lock(experiment.folder, verb):
                return work(experiment, *args, **kwargs)

        return alone

    return decorate
