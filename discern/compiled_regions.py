"""Small regions of a training step that XLA compiles although the step as a whole is not compiled.

TensorFlow runs a formula one operation at a time, and each reads and writes whole arrays. Compiled, a region is one
pass through memory that also yields the gradient. Keras can compile a whole step only, which is slower on CPUs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

_VALUES_ONLY: ContextVar[bool] = ContextVar("values_only", default=False)


@contextmanager
def values_only() -> Iterator[None]:
    """Let regions that are traced here give no gradients, as validation needs none."""
    token = _VALUES_ONLY.set(True)
    try:
        yield
    finally:
        _VALUES_ONLY.reset(token)


def compiles_regions() -> bool:
    """Tell whether a graph is being traced, the only place where compiling pays."""
    return keras.backend.backend() == "tensorflow" and not tf.executing_eagerly()


def in_one_pass(function: Callable[..., Any], *variables: Any) -> Any:
    """Return ``function(*variables)``; the gradients are computed together with the values while a graph is traced.

    Args:
        function: Pure; returns a scalar, one value for each row of the variables that depends on that row only, or one
            for each of their values that depends on that only. What else it uses gets no gradient through this call.
        *variables: What gradients are wanted of.
    """
    if not compiles_regions():
        return function(*variables)
    if _VALUES_ONLY.get():
        return tf.function(function, jit_compile=True, autograph=False)(*variables)

    @tf.function(jit_compile=True, autograph=False)
    def values_and_slopes(*variables: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            tape.watch(variables)
            values = function(*variables)
        return values, tape.gradient(values, variables)

    @tf.custom_gradient
    def run(*variables: Any) -> Any:
        values, slopes = values_and_slopes(*variables)

        def gradient(upstream: Any) -> list[Any]:
            return [_per_row(upstream, slope) * slope for slope in slopes]

        return values, gradient

    return run(*variables)


def _per_row(upstream: Any, slope: Any) -> Any:
    """Return ``upstream``, a scalar, (n_rows,) or of the shape of ``slope``, with the axes to scale the slope by it."""
    missing = slope.shape.rank - upstream.shape.rank if upstream.shape.rank else 0
    return tf.reshape(upstream, tf.concat([tf.shape(upstream), [1] * missing], 0)) if missing else upstream
