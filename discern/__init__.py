"""DISCERN: expression reconstruction for single-cell RNA sequencing.

The public names are imported on first use, so that ``import discern`` costs nothing.
"""

from importlib.metadata import PackageNotFoundError, version

from discern.lazy_names import lazy_names

try:
    __version__ = version("discern-reconstruction")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_PUBLIC = {"DISCERN": "discern.estimator", "WAERecipe": "discern.preprocessing.recipe", "pl": "discern.pl"}

__all__ = ["DISCERN", "WAERecipe", "__version__", "pl"]
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
