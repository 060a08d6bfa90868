"""Adding batches to a trained model. The published names are handed on, imported on first use."""

from discern.lazy_names import lazy_names

_PUBLISHED = {
    "OnlineDISCERNRunner": "discern.workflows.runner",
    "OnlineWAERecipe": "discern.online_learning.query_recipe",
    "online_training": "discern.workflows.online_training",
    "save_data": "discern.online_learning.saving",
    "update_model": "discern.online_learning.widening",
}

__all__ = sorted(_PUBLISHED)
__getattr__, __dir__ = lazy_names(__name__, _PUBLISHED)
