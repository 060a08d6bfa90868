"""From raw counts to processed data. The published names are handed on, imported on first use."""

from discern.lazy_names import lazy_names

_PUBLISHED = {
    "WAERecipe": "discern.preprocessing.recipe",
    "merge_data_sets": "discern.io.merging",
    "read_process_serialize": "discern.preprocessing.serialisation",
    "read_raw_input": "discern.io.reading",
}

__all__ = sorted(_PUBLISHED)
__getattr__, __dir__ = lazy_names(__name__, _PUBLISHED)
