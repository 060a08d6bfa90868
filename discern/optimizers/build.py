"""The optimizer a configuration describes."""

from collections.abc import Mapping
from typing import Any

import keras

from discern.errors import MissingParameterError
from discern.optimizers.averaging import keep_averages_within_constraints
from discern.optimizers.lookahead import Lookahead
from discern.registry import LEARNING_RATE_SCHEDULES, OPTIMIZERS


def build_optimizer(
    algorithm: str,
    learning_rate: float,
    arguments: Mapping[str, Any],
    learning_decay: Mapping[str, Any] | None = None,
    lookahead: bool = False,
) -> keras.optimizers.Optimizer:
    """Return a new optimizer.

    Args:
        algorithm: A name of ``registry.OPTIMIZERS``.
        learning_rate: Step size, or the schedule's initial one.
        arguments: Further arguments of the algorithm, such as ``beta_1``; not changed.
        learning_decay: ``{"name": schedule, **arguments}``, the schedule being one of
            ``registry.LEARNING_RATE_SCHEDULES``; not changed. ``initial_learning_rate`` is ``learning_rate`` if absent.
        lookahead: Wrap it in :class:`~discern.optimizers.lookahead.Lookahead`.

    Raises:
        UnknownNameError: The algorithm or the schedule is unknown.
        ParametersError: One of them does not take an argument, lacks one, or refuses a value.
    """
    rate = float(learning_rate) if learning_decay is None else _schedule(learning_rate, learning_decay)
    optimizer = OPTIMIZERS.build(algorithm, **{**arguments, "learning_rate": rate})
    if optimizer.use_ema:
        keep_averages_within_constraints(optimizer)
    return Lookahead(optimizer) if lookahead else optimizer


def _schedule(learning_rate: float, learning_decay: Mapping[str, Any]) -> Any:
    if "name" not in learning_decay:
        raise MissingParameterError(
            f"learning_decay needs a 'name', received {dict(learning_decay)}. "
            f"Known: {', '.join(LEARNING_RATE_SCHEDULES.entries)}."
        )
    name = LEARNING_RATE_SCHEDULES.canonical(learning_decay["name"])
    arguments = {key: value for key, value in learning_decay.items() if key != "name"}
    if "initial_learning_rate" in LEARNING_RATE_SCHEDULES.entries[name].arguments:
        arguments.setdefault("initial_learning_rate", float(learning_rate))
    return LEARNING_RATE_SCHEDULES.build(name, **arguments)
