"""Published name of the estimator, handed on from :mod:`discern.estimator`."""

from discern.estimator import DISCERN

__all__ = ["DISCERN"]
