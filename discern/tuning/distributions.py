"""What a hyperparameter may be: distributions as quantile functions.

Every distribution turns a quantile, a number in [0, 1], into a value and a value back into its quantile. One uniform
random number draws a value, and any searcher that knows the unit interval knows every distribution.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scipy.special import ndtr, ndtri

_SMALLEST_TAIL = 1e-6  # of a normal distribution, whose ends are infinite
_TAIL_IN_SD = float(-ndtri(_SMALLEST_TAIL))
_LARGEST = 1e15  # whole numbers up to here are exact in double precision
_LARGEST_EXPONENT = 30
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
        first, last = _steps_between(*self._bounds, self.step)
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


def uniform(low: float, high: float) -> Uniform:
    """Return any number between two bounds."""
    return Uniform(*_ascending(low, high))


def quniform(low: float, high: float, q: float) -> Uniform:
    """Return the multiples of q between two bounds."""
    low, high = _ascending(low, high)
    step = _step(q)
    _require_multiples(low, high, step)
    return Uniform(low, high, step=step)


def loguniform(low: float, high: float) -> Uniform:
    """Return 10^x with x between two bounds."""
    return Uniform(*_ascending_exponents(low, high), log=True)


def qloguniform(low: float, high: float, q: float) -> Uniform:
    """Return 10^x with x between two bounds, rounded to a multiple of q."""
    low, high = _ascending_exponents(low, high)
    step = _step(q)
    _require_multiples(10.0**low, 10.0**high, step)
    return Uniform(low, high, log=True, step=step)


def normal(mean: float, sd: float) -> Normal:
    """Return the normal distribution."""
    return Normal(_number(mean), _positive(sd))


def qnormal(mean: float, sd: float, q: float) -> Normal:
    """Return the normal distribution, rounded to multiples of q."""
    return Normal(_number(mean), _positive(sd), step=_step(q))


def lognormal(mean: float, sd: float) -> Normal:
    """Return 10^x of a normally distributed x."""
    return Normal(*_normal_exponent(mean, sd), log=True)


def qlognormal(mean: float, sd: float, q: float) -> Normal:
    """Return 10^x of a normally distributed x, rounded to a multiple of q."""
    return Normal(*_normal_exponent(mean, sd), log=True, step=_step(q))


def randint(low: int, high: int | None = None) -> WholeNumbers:
    """Return the whole numbers from low, or from 0 when one bound is given, to high − 1."""
    bounds = (0, low) if high is None else (low, high)
    first, behind = _ascending(*map(_whole, bounds))
    return WholeNumbers(int(first), int(behind) - 1)


def uniformint(low: int, high: int) -> Uniform:
    """Return the whole numbers between two bounds, both included; the bounds are half as likely, as in hyperopt."""
    return quniform(_whole(low), _whole(high), 1)


def qrandint(low: int, high: int, q: int = 1) -> WholeNumbers:
    """Return the multiples of q between two bounds; the upper one is included unless q is 1, as in Ray."""
    bounds = _ascending(_whole(low), _whole(high))
    step = int(_positive(_whole(q)))
    _require_multiples(*bounds, step)
    first, last = _steps_between(*bounds, step)
    return WholeNumbers(first, last - 1 if step == 1 else last, step)


def lograndint(low: float, high: float) -> WholeNumbers:
    """Return the whole numbers from 10^low to 10^high − 1, uniform in their logarithm."""
    low, high = _ascending_exponents(low, high)
    first, behind = round(10.0**low), round(10.0**high)
    if not 1 <= first < behind <= _LARGEST:
        raise ValueError(f"10^{low:g} … 10^{high:g} must hold whole numbers from 1 to {_LARGEST:.0e}")
    return WholeNumbers(first, behind - 1, log=True)


def choice(options: Sequence[Any]) -> Choice:
    """Return one of the options."""
    return Choice(_options(options))


def grid_search(options: Sequence[Any]) -> Choice:
    """Return every one of the options."""
    return Choice(_options(options), exhaustive=True)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"arguments must be numbers (received {value!r})")
    if not abs(value) <= _LARGEST:
        raise ValueError(f"arguments must be numbers up to {_LARGEST:.0e}")
    return value


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise ValueError(f"must be greater than 0 (received {value!r})")
    return value


def _step(value: Any) -> float:
    if _positive(value) < 1 / _LARGEST:
        raise ValueError(f"a step must be at least {1 / _LARGEST:.0e} (received {value!r})")
    return value


def _whole(value: Any) -> float:
    if not float(_number(value)).is_integer():
        raise ValueError(f"bounds and steps must be whole numbers (received {value!r})")
    return value


def _ascending(low: Any, high: Any) -> tuple[float, float]:
    if not _number(low) < _number(high):
        raise ValueError(f"the first bound must be smaller than the second (received {low!r} and {high!r})")
    return low, high


def _ascending_exponents(low: Any, high: Any) -> tuple[float, float]:
    low, high = _ascending(low, high)
    if min(low, high) > 0 and low < 0.05:
        raise ValueError(
            f"bounds of a type whose name contains 'log' are exponents of ten: [-4, -2] means 0.0001 … 0.01 "
            f"(received {low!r} and {high!r}, i.e. {10.0**low:.4g} … {10.0 ** min(high, _LARGEST_EXPONENT):.4g})"
        )
    if max(abs(low), abs(high)) > _LARGEST_EXPONENT:
        raise ValueError(
            f"bounds of a type whose name contains 'log' are exponents of ten, from -{_LARGEST_EXPONENT} to "
            f"{_LARGEST_EXPONENT}: [2, 4] means 100 … 10000 (received {low!r} and {high!r})"
        )
    return low, high


def _normal_exponent(mean: Any, sd: Any) -> tuple[float, float]:
    if abs(_number(mean)) + _TAIL_IN_SD * _positive(sd) > 3 * _LARGEST_EXPONENT:
        raise ValueError(
            "mean and standard deviation of a type whose name contains 'log' are those of the exponent of ten: "
            f"[-4, 1] means 0.0001, mostly within a factor of ten (received {mean!r} and {sd!r})"
        )
    return mean, sd


def _options(options: Any) -> tuple[Any, ...]:
    if not isinstance(options, list | tuple) or not options:
        raise ValueError(f"the argument is a list of the options: [[a, b, …]] (received {options!r:.100})")
    twins = [one for number, one in enumerate(options) if one in options[:number]]
    if twins:
        raise ValueError(f"{twins[0]!r:.100} stands twice among the options; keep one")
    return tuple(options)


def _exponent(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf


def _nearest_step(value: float, step: float) -> int:
    return round(value / step)


def _multiple(number: int, step: float) -> int | float:
    return int(number * step) if float(step).is_integer() else float(f"{number * step:.{_DIGITS}g}")


def _steps_between(low: float, high: float, step: float) -> tuple[int, int]:
    """Return the first and the last multiple between two bounds, in steps; bounds that are multiples count."""
    tolerance = 10.0**-_DIGITS
    first, last = low / step, high / step
    return math.ceil(first - tolerance * max(1, abs(first))), math.floor(last + tolerance * max(1, abs(last)))


def _require_multiples(low: float, high: float, step: float) -> None:
    first, last = _steps_between(low, high, step)
    if last <= first:
        raise ValueError(f"fewer than two multiples of {step:g} lie between {low:g} and {high:g}")
