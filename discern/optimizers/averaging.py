"""Averages of weights (``use_ema``) that keep to the constraints of their variables."""

from collections.abc import Sequence
from typing import Any

import keras


def keep_averages_within_constraints(optimizer: keras.Optimizer) -> None:
    """Let the averages that replace the weights at the end of ``fit`` pass the constraints of their variables.

    Keras applies constraints after steps only, and the moving average of a number that stays is not that number to the
    last bit.

    Args:
        optimizer: Any Keras optimizer; changed in place.
    """
    set_averages = optimizer.finalize_variable_values

    def set_averages_within_constraints(var_list: Sequence[Any]) -> None:
        set_averages(var_list)
        for variable in var_list:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))

    optimizer.finalize_variable_values = set_averages_within_constraints
