"""Published names of the estimator; the code lives in the rooms that fit it."""

from typing import Any

__all__ = ["DISCERNRunner"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'discern.estimators' has no attribute {name!r}")
    from discern.workflows.runner import DISCERNRunner

    return DISCERNRunner


def __dir__() -> list[str]:
    return list(__all__)
