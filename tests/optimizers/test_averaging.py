import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.optimizers.build import build_optimizer

START = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def trained(algorithm: str, constraint, lookahead: bool = False, **arguments):
    """A variable and its optimizer after seven steps and the end of training."""
    variable = keras.Variable(START)
    variable.constraint = constraint
    optimizer = build_optimizer(
        algorithm, 0.1, {"use_ema": True, "ema_momentum": 0.7, **arguments}, lookahead=lookahead
    )
    optimizer.build([variable])
    for step in range(7):
        optimizer.apply([tf.constant(np.random.default_rng(step + 1).normal(size=(4, 3)), tf.float32)], [variable])
    optimizer.finalize_variable_values([variable])
    return variable.numpy()


def slow_average(momentum: float = 0.7) -> np.ndarray:
    """The moving average of plain gradient descent, float64."""
    weight, average = START.astype("float64"), np.zeros((4, 3))
    for step in range(7):
        weight = weight - 0.1 * np.random.default_rng(step + 1).normal(size=(4, 3))
        average = weight if step == 0 else momentum * average + (1 - momentum) * weight
    return average


def test_averages_are_those_of_keras():
    np.testing.assert_allclose(trained("SGD", None), slow_average(), rtol=1e-5)


@pytest.mark.parametrize("lookahead", [False, True])
@pytest.mark.parametrize("algorithm", ["SGD", "RectifiedAdam"])
def test_averages_keep_to_constraints(algorithm, lookahead):
    def first_row_stays(values):
        return tf.concat([START[:1], values[1:]], axis=0)

    ended = trained(algorithm, first_row_stays, lookahead)
    np.testing.assert_array_equal(ended[0], START[0])
    assert (ended[1:] != START[1:]).all()


def test_the_average_of_a_number_that_stays_is_another_number():
    """Otherwise nothing would need keeping."""
    variable = keras.Variable(START)
    optimizer = keras.optimizers.SGD(0.0, use_ema=True, ema_momentum=0.7)
    optimizer.build([variable])
    for _ in range(7):
        optimizer.apply([tf.zeros((4, 3))], [variable])
    optimizer.finalize_variable_values([variable])
    assert (variable.numpy() != START).any()
    np.testing.assert_allclose(variable.numpy(), START, rtol=1e-6)
