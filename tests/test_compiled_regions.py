"""One pass gives the values and gradients that TensorFlow finds step by step, and nothing is compiled outside graphs."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from discern import compiled_regions
from discern.compiled_regions import in_one_pass, values_only

RNG = np.random.default_rng(0)
A, B = (tf.constant(RNG.normal(size=(4, 3)).astype("float32")) for _ in range(2))
UPSTREAM = tf.constant([2.0, -1.0, 0.5, 3.0])


def per_row(a, b):
    return ops.sum(ops.sin(a) * ops.square(b), axis=-1)


def scalar(a, b):
    return ops.mean(per_row(a, b))


def per_value(a, b):
    return ops.exp(a) * b


def value_and_gradients(function, fused, jit):
    @tf.function(jit_compile=jit)
    def run(a, b, upstream):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            values = in_one_pass(function, a, b) if fused else function(a, b)
            rank = values.shape.rank
            weights = {0: upstream[0], 1: upstream, 2: upstream[:, None]}[rank]
            total = ops.sum(values * weights)
        return values, *tape.gradient(total, [a, b])

    return [one.numpy() for one in run(A, B, UPSTREAM)]


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("function", [scalar, per_row, per_value])
def test_values_and_gradients_are_those_of_the_formula(function, jit):
    expected = value_and_gradients(function, fused=False, jit=False)
    actual = value_and_gradients(function, fused=True, jit=jit)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_sizes_may_be_unknown():
    @tf.function(input_signature=[tf.TensorSpec((None, 3))] * 2)
    def run(a, b):
        with tf.GradientTape() as tape:
            tape.watch(a)
            values = in_one_pass(lambda a: per_row(a, b), a)
        return values, tape.gradient(values, a)

    values, gradient = run(A, B)
    np.testing.assert_allclose(values, per_row(A, B), rtol=1e-6)
    np.testing.assert_allclose(gradient, np.cos(A) * np.square(B), rtol=1e-6)


def test_without_a_graph_the_function_is_simply_called(monkeypatch):
    monkeypatch.setattr(compiled_regions.tf, "custom_gradient", None)  # needed for one pass only
    assert in_one_pass(lambda a: (type(a).__name__, a is A), A) == (type(A).__name__, True)


@pytest.mark.parametrize("function", [scalar, per_row, per_value])
def test_values_alone_are_the_same_without_their_slopes(function, monkeypatch):
    monkeypatch.setattr(compiled_regions.tf, "GradientTape", None)  # needed for slopes only

    @tf.function
    def run(a, b):
        with values_only():
            return in_one_pass(function, a, b)

    np.testing.assert_allclose(run(A, B), function(A, B), rtol=1e-6)


def test_values_only_ends_with_its_block():
    with pytest.raises(KeyError), values_only():
        raise KeyError
    values, *gradients = value_and_gradients(per_row, fused=True, jit=False)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
