"""The fused update against its formula in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.optimizers.fused_adam import apply_fused_adam, can_fuse
from discern.optimizers.rectified_adam import RectifiedAdam

RNG = np.random.default_rng(0)
WEIGHTS, FIRST, GRADIENT = RNG.normal(size=(3, 5, 4))
SECOND = RNG.uniform(0.0, 2.0, (5, 4))
RATE, BETAS, EPSILON = 3e-3, (0.85, 0.95), 1e-3


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e6])
def test_is_one_step_of_adam_or_of_momentum(size, adaptive, jit):
    weights, first, second = (keras.Variable(one) for one in (WEIGHTS, FIRST * size, SECOND * size**2))

    @tf.function(jit_compile=jit)
    def update(gradient, rate, adaptive, epsilon):
        apply_fused_adam(weights, (first, second), gradient, rate=rate, adaptive=adaptive, betas=BETAS, epsilon=epsilon)

    update(tf.constant(GRADIENT * size, tf.float32), RATE, tf.constant(adaptive), EPSILON)
    m = BETAS[0] * FIRST * size + (1 - BETAS[0]) * GRADIENT * size
    v = BETAS[1] * SECOND * size**2 + (1 - BETAS[1]) * np.square(GRADIENT * size)
    step = RATE * m / (np.sqrt(v) + EPSILON if adaptive else 1.0)
    np.testing.assert_allclose(first, m, rtol=1e-5, atol=1e-6 * size)
    np.testing.assert_allclose(second, v, rtol=1e-5)
    np.testing.assert_allclose(WEIGHTS - weights, step, rtol=1e-4, atol=1e-6 * max(1.0, np.abs(step).max()))


def test_what_cannot_be_fused():
    weights = keras.Variable(WEIGHTS)
    dense = tf.constant(GRADIENT, tf.float32)
    assert can_fuse(dense, weights)
    assert can_fuse(dense, weights.value)
    assert not can_fuse(tf.IndexedSlices(dense[:1], [0]), weights)
    assert not can_fuse(dense, keras.Variable(WEIGHTS, dtype="float16"))  # the large number would be infinite


@pytest.mark.parametrize("steps", [3, 12])
def test_fused_and_unfused_paths_are_one(steps):
    """A weight decay of nearly nothing takes the form in Keras' operations."""
    ends = []
    for decay in (0.0, 1e-30):
        weights = keras.Variable(WEIGHTS)
        optimizer = RectifiedAdam(1e-2, 0.85, 0.95, weight_decay=decay)
        optimizer.build([weights])
        gradients = np.random.default_rng(1).normal(size=(steps, 5, 4)).astype("float32")
        for gradient in gradients:
            optimizer.apply([tf.constant(gradient)], [weights])
        ends.append([weights.numpy(), *(variable.numpy() for variable in optimizer.variables[2:])])
    for fused, unfused in zip(*ends, strict=True):
        np.testing.assert_allclose(fused, unfused, rtol=1e-5, atol=1e-7)
