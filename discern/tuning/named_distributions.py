"""The distributions that a search file can name, built from their arguments.

Arguments of a type whose name contains ``log`` are exponents of ten, whether the name is spelled as in hyperopt or as in
Ray Tune; steps are not.
"""

from collections.abc import Sequence
from typing import Any

from discern.tuning.distributions import TAIL_IN_SD, Choice, Normal, Uniform, WholeNumbers, steps_between

_LARGEST = 1e15  # whole numbers up to here are exact in double precision
_LARGEST_EXPONENT = 30


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
    first, last = steps_between(*bounds, step)
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
    if abs(_number(mean)) + TAIL_IN_SD * _positive(sd) > 3 * _LARGEST_EXPONENT:
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


def _require_multiples(low: float, high: float, step: float) -> None:
    first, last = steps_between(low, high, step)
    if last <= first:
        raise ValueError(f"fewer than two multiples of {step:g} lie between {low:g} and {high:g}")
