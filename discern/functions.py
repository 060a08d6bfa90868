"""Published names that serve several rooms, handed on; and look-ups by name in closed tables."""

from importlib import import_module
from inspect import isclass
from typing import Any

from discern.errors import UnknownNameError
from discern.io.record_files import prepare_train_valid
from discern.io.zero_drawing import sample_counts
from discern.preprocessing.scaling_in_place import parse_mean_var, rescale_by_params, scale, scale_by_params
from discern.registry import (
    ACTIVATIONS,
    LEARNING_RATE_SCHEDULES,
    OPTIMIZERS,
    OUTPUT_FUNCTIONS,
    RECONSTRUCTION_LOSSES,
    REGULARIZERS,
)
from discern.training.devices import set_gpu_and_threads

__all__ = [
    "get_function_by_name",
    "getmembers",
    "parse_mean_var",
    "prepare_train_valid",
    "rescale_by_params",
    "sample_counts",
    "scale",
    "scale_by_params",
    "set_gpu_and_threads",
]

_TABLES = (
    ACTIVATIONS, OPTIMIZERS, RECONSTRUCTION_LOSSES, REGULARIZERS, LEARNING_RATE_SCHEDULES, OUTPUT_FUNCTIONS,
)  # fmt: skip
_MODULES = ("discern.estimators.callbacks", "discern.estimators.customlayers", "discern.estimators.losses")


def get_function_by_name(func_str: str) -> Any:
    """Return the function or class of that name, in any spelling a parameters file may use.

    Args:
        func_str: For example ``mish`` or ``tensorflow_addons.optimizers.RectifiedAdam``.

    Raises:
        UnknownNameError: The name is in no table (also a KeyError).
    """
    for table in _TABLES:
        try:
            return table.get(func_str)
        except UnknownNameError:
            continue
    kinds = ", ".join(table.kind for table in _TABLES)
    raise UnknownNameError(f"'{func_str}' is the name of no {kinds}. Write it as parameters.json does, e.g. 'mish'.")


def getmembers(name: str) -> dict[str, type]:
    """Return the published classes of a module by name.

    Args:
        name: A module with layers, losses or callbacks, such as ``discern.estimators.losses``.

    Raises:
        UnknownNameError: The module is none of these (also a KeyError).
    """
    if name not in _MODULES:
        raise UnknownNameError(f"'{name}' is no module with published classes. Known: {', '.join(_MODULES)}.")
    module = import_module(name)
    members = ((member, getattr(module, member)) for member in module.__all__)
    return {member: value for member, value in members if isclass(value)}
