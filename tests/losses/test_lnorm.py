import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.errors import ParametersError
from discern.losses.lnorm import Lnorm

RNG = np.random.default_rng(0)
Y_TRUE, Y_PRED = RNG.normal(0.0, 3.0, (2, 6, 9)).astype("float32")


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("use_root", [False, True])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_matches_numpy(p, axis, use_root, jit):
    loss = Lnorm(p, axis=axis, use_root=use_root)
    norm = np.linalg.norm(Y_TRUE.astype("float64") - Y_PRED, ord=p, axis=axis)
    expected = norm if use_root else norm**p
    np.testing.assert_allclose(tf.function(loss.call, jit_compile=jit)(Y_TRUE, Y_PRED), expected, rtol=1e-5)
    np.testing.assert_allclose(float(loss(Y_TRUE, Y_PRED)), expected.mean(), rtol=1e-5)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_gradient_is_finite_at_zero_error(p):
    prediction = tf.constant(Y_TRUE)
    with tf.GradientTape() as tape:
        tape.watch(prediction)
        value = Lnorm(p, axis=-1, use_root=True)(Y_TRUE, prediction)
    assert np.isfinite(tape.gradient(value, prediction)).all()


def test_published_signature():
    parameters = inspect.signature(Lnorm).parameters
    assert list(parameters) == ["p", "name", "reduction", "axis", "epsilon", "use_root"]
    assert (parameters["axis"].default, parameters["epsilon"].default) == (0, 1e-20)


def test_config_round_trip():
    loss = Lnorm(3, name="reconstruction", reduction="sum", axis=-1, epsilon=1e-6, use_root=True)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert copy.get_config() == loss.get_config()
    np.testing.assert_array_equal(copy(Y_TRUE, Y_PRED), loss(Y_TRUE, Y_PRED))


def test_exponent_below_one_is_an_error():
    with pytest.raises(ParametersError, match="received 0.5"):
        Lnorm(0.5)
