"""Published names of the estimator; the code lives in the rooms that fit it."""

from discern.lazy_names import lazy_names

_PUBLISHED = {"DISCERNRunner": "discern.workflows.runner"}

__all__ = sorted(_PUBLISHED)
__getattr__, __dir__ = lazy_names(__name__, _PUBLISHED)
