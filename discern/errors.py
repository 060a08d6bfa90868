"""The errors a user can mend; each class carries the exit code of the command line."""

from collections.abc import Sequence


class DiscernError(Exception):
    """A fault with a message that says what was wrong, what was received and how to mend it."""

    exit_code = 1


class ParametersError(DiscernError, ValueError):
    """The parameters file (or a dictionary in its place) is invalid."""

    exit_code = 2


class MissingParameterError(ParametersError, KeyError):
    """A required key is absent; also a KeyError, as the published program raised."""

    __str__ = Exception.__str__


class UnknownNameError(ParametersError, KeyError):
    """A name is in none of the closed tables; also a KeyError, as the published program raised."""

    __str__ = Exception.__str__


class DataError(DiscernError, ValueError):
    """The input data cannot be used."""

    exit_code = 3


class NoCountPriorError(DataError):
    """What cells' own counts say cannot be weighed: nothing to fit it to, or the model estimates something else."""


class ShapeError(DataError):
    """Arrays, records or weights do not fit together."""


class ExperimentError(DiscernError):
    """The experiment folder is not in the state the command needs."""

    exit_code = 4


class ExperimentInUseError(ExperimentError):
    """Another process works on the experiment."""


class OptionalDependencyError(DiscernError, ImportError):
    """A feature needs a package that is not installed."""

    exit_code = 5


class DivergenceError(DiscernError):
    """Training produced a value that is not finite."""

    exit_code = 6


class StoppedBySignalError(DiscernError):
    """Work was ended by a signal; the exit code is the one of a process that the signal ends."""

    exit_code = 128 + 15


def names_in_short(names: Sequence[str], at_most: int = 5) -> str:
    """Return the first names, and how many there are besides."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with what it counts, e.g. ``1 epoch``, ``2 batches``.

    Args:
        number: How many.
        noun: One of them.
        plural: Several of them; with an s when empty.
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
