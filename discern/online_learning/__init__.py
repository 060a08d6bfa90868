"""Adding batches to a trained model. The published names are handed on, imported on first use."""

from importlib import import_module
from typing import Any

_PUBLISHED = {
    "OnlineDISCERNRunner": "discern.workflows.runner",
    "OnlineWAERecipe": "discern.online_learning.query_recipe",
    "online_training": "discern.workflows.online_training",
    "save_data": "discern.online_learning.saving",
    "update_model": "discern.online_learning.widening",
}

__all__ = sorted(_PUBLISHED)


def __getattr__(name: str) -> Any:
    if name not in _PUBLISHED:
        raise AttributeError(f"module 'discern.online_learning' has no attribute {name!r}")
    return getattr(import_module(_PUBLISHED[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
