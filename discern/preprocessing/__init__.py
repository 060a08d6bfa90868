"""From raw counts to processed data. The published names are handed on, imported on first use."""

from importlib import import_module
from typing import Any

_PUBLISHED = {
    "WAERecipe": "discern.preprocessing.recipe",
    "merge_data_sets": "discern.io.merging",
    "read_process_serialize": "discern.preprocessing.serialisation",
    "read_raw_input": "discern.io.reading",
}

__all__ = sorted(_PUBLISHED)


def __getattr__(name: str) -> Any:
    if name not in _PUBLISHED:
        raise AttributeError(f"module 'discern.preprocessing' has no attribute {name!r}")
    return getattr(import_module(_PUBLISHED[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
