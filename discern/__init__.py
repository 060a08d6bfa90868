"""DISCERN: expression reconstruction for single-cell RNA sequencing.

The public names are imported on first use, so that ``import discern`` costs nothing.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("discern-reconstruction")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_PUBLIC = {"DISCERN": "discern.estimator", "WAERecipe": "discern.preprocessing.recipe"}

__all__ = ["DISCERN", "WAERecipe", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'discern' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
