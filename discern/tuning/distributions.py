"""What a hyperparameter may be: distributions as quantile functions.

Every distribution turns a quantile, a number in [0, 1], into a value and a value back into its quantile. One uniform
random number draws a value, and any searcher that knows the unit interval knows every distribution.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

from scipy.special import ndtr, ndtri

_SMALLEST_TAIL = 1e-6  # of a normal distribution, whose ends are infinite
TAIL_IN_SD = float(-ndtri(_SMALLEST_TAIL))
_SAME = 1e-9  # relative: a quantile and back
_DIGITS = 12  # of a multiple of a step: 3 · 0.1 is 0.3


class Distribution(Protocol):
    """How the values of one hyperparameter are distributed."""

    def at(self, quantile: float) -> Any:
        """Return the value at a quantile in [0, 1]."""
        ...

    def quantile(self, value: Any) -> float:
        """Return a quantile at which :meth:`at` gives this value, or the nearest one that occurs."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Uniform between two bounds, or between their exponents of ten.

    Attributes:
        low: Lower bound; of the exponent when ``log``.
        high: Upper bound; of the exponent when ``log``.
        log: The value is 10 to the power of what is drawn.
        step: Values are multiples of it, within the bounds; whole steps give whole numbers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def at(self, quantile: float) -> int | float:
        """Return the value at a quantile in [0, 1]."""
        number = self.low + float(quantile) * (self.high - self.low)
        value = 10.0**number if self.log else number
        if self.step is None:
            return min(max(value, self._bounds[0]), self._bounds[1])
        first, last = steps_between(*self._bounds, self.step)
        return _multiple(min(max(_nearest_step(value, self.step), first), last), self.step)

    def quantile(self, value: float) -> float:
        """Return the quantile of a value; 0 or 1 beyond the bounds."""
        number = _exponent(value) if self.log else value
        return min(max((number - self.low) / (self.high - self.low), 0.0), 1.0)

    @property
    def _bounds(self) -> tuple[float, float]:
        return (10.0**self.low, 10.0**self.high) if self.log else (self.low, self.high)


@dataclass(frozen=True)
class Normal:
    """Normal, or log-normal; the outermost millionth at either end does not occur.

    Attributes:
        mean: Mean; of the exponent of ten when ``log``.
        sd: Standard deviation; of the exponent of ten when ``log``.
        log: The value is 10 to the power of what is drawn.
        step: Values are multiples of it; whole steps give whole numbers.
    """

    mean: float
    sd: float
    log: bool = False
    step: float | None = None

    def at(self, quantile: float) -> int | float:
        """Return the value at a quantile in [0, 1]."""
        inner = min(max(quantile, _SMALLEST_TAIL), 1 - _SMALLEST_TAIL)
        number = self.mean + self.sd * float(ndtri(inner))
        value = 10.0**number if self.log else number
        return value if self.step is None else _multiple(_nearest_step(value, self.step), self.step)

    def quantile(self, value: float) -> float:
        """Return the quantile of a value."""
        number = _exponent(value) if self.log else value
        return float(ndtr((number - self.mean) / self.sd))


@dataclass(frozen=True)
class WholeNumbers:
    """Multiples of a whole number, all equally likely, or less so the larger they are.

    Attributes:
        first: Smallest multiple.
        last: Largest multiple.
        step: What they are multiples of.
        log: The logarithm is uniform, from that of the first multiple to that of the one behind the last.
    """

    first: int
    last: int
    step: int = 1
    log: bool = False

    def at(self, quantile: float) -> int:
        """Return the value at a quantile in [0, 1]."""
        behind = self.last + 1
        if self.log:
            multiple = math.floor(self.first * (behind / self.first) ** float(quantile))
        else:
            multiple = self.first + math.floor(quantile * (behind - self.first))
        return self.step * min(max(multiple, self.first), self.last)

    def quantile(self, value: float) -> float:
        """Return the middle of the quantiles of a value."""
        inner = min(max(round(value / self.step), self.first), self.last) + 0.5
        behind = self.last + 1
        if self.log:
            return math.log(inner / self.first) / math.log(behind / self.first)
        return (inner - self.first) / (behind - self.first)


@dataclass(frozen=True)
class Choice:
    """One of some values, all equally likely.

    Attributes:
        options: The values.
        exhaustive: Every one is tried, instead of a drawn one.
    """

    options: tuple[Any, ...]
    exhaustive: bool = False

    def at(self, quantile: float) -> Any:
        """Return the value at a quantile in [0, 1]."""
        return self.options[min(int(quantile * len(self.options)), len(self.options) - 1)]

    def quantile(self, value: Any) -> float:
        """Return the middle of the quantiles of a value; 0 for one that is no option."""
        return (self.options.index(value) + 0.5) / len(self.options) if value in self.options else 0.0


def occurs(distribution: Distribution, value: Any) -> bool:
    """Tell whether a value is one that a distribution gives, but for rounding.

    Args:
        distribution: The values of a hyperparameter.
        value: Anything that stands in a JSON file.
    """
    if isinstance(distribution, Choice):
        return value in distribution.options
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return math.isclose(distribution.at(distribution.quantile(value)), value, rel_tol=_SAME)


def _exponent(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf


def _nearest_step(value: float, step: float) -> int:
    return round(value / step)


def _multiple(number: int, step: float) -> int | float:
    return int(number * step) if float(step).is_integer() else float(f"{number * step:.{_DIGITS}g}")


def steps_between(low: float, high: float, step: float) -> tuple[int, int]:
    """Return the first and the last multiple between two bounds, in steps; bounds that are multiples count."""
    tolerance = 10.0**-_DIGITS
    first, last = low / step, high / step
    return math.ceil(first - tolerance * max(1, abs(first))), math.floor(last + tolerance * max(1, abs(last)))
