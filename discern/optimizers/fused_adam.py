"""TensorFlow's one-pass update of Adam, which Keras has no name for."""

from typing import Any

import keras
import tensorflow as tf

_LARGE = 2.0**64  # so large that adding the root of a second moment does not change it; a power of two rounds nothing


def can_fuse(gradient: Any, variable: Any) -> bool:
    """Tell whether :func:`apply_fused_adam` can update this variable."""
    if keras.backend.backend() != "tensorflow" or isinstance(gradient, tf.IndexedSlices):
        return False
    return keras.backend.standardize_dtype(variable.dtype) in {"float32", "float64"}


def apply_fused_adam(
    variable: Any,
    moments: tuple[Any, Any],
    gradient: Any,
    *,
    rate: Any,
    adaptive: Any,
    betas: tuple[float, float],
    epsilon: Any,
) -> None:
    """Update moments m and v, then subtract rate · m / (√v + epsilon), or rate · m where the step is not adaptive.

    Keras' form of this reads and writes each array many times; this one does it once, on all cores.

    Args:
        variable: The weights.
        moments: First and second moment, of the shape of the weights.
        gradient: Their gradient.
        rate: Step size with all corrections, a scalar.
        adaptive: Whether to divide by the root of the second moment, a scalar.
        betas: Decay of the first and of the second moment.
        epsilon: Added to the root of the second moment, a scalar.
    """
    variable, first, second = (_native(one) for one in (variable, *moments))
    dtype = variable.dtype
    # m · (rate · large) / (√v + large) is rate · m: one operation serves both kinds of step.
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=first.handle,
        v=second.handle,
        beta1_power=tf.zeros((), dtype),  # 0 leaves rate as it is
        beta2_power=tf.zeros((), dtype),
        lr=tf.cast(tf.where(adaptive, rate, rate * _LARGE), dtype),
        beta1=tf.constant(betas[0], dtype),
        beta2=tf.constant(betas[1], dtype),
        epsilon=tf.cast(tf.where(adaptive, epsilon, _LARGE), dtype),
        grad=tf.cast(gradient, dtype),
    )


def _native(variable: Any) -> Any:
    return variable.value if isinstance(variable, keras.Variable) else variable
