import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import huber

from discern.losses.huber import HuberLoss

RNG = np.random.default_rng(0)
Y_TRUE, Y_PRED = RNG.normal(0.0, 5.0, (2, 6, 9)).astype("float32")


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("delta", [0.5, 1.0, 9.0])
def test_is_the_mean_over_genes(delta, jit):
    loss = HuberLoss(delta)
    expected = huber(delta, Y_TRUE.astype("float64") - Y_PRED).mean(axis=1)
    np.testing.assert_allclose(tf.function(loss.call, jit_compile=jit)(Y_TRUE, Y_PRED), expected, rtol=1e-5)
    np.testing.assert_allclose(float(loss(Y_TRUE, Y_PRED)), expected.mean(), rtol=1e-5)


def test_gradient_is_the_clipped_error():
    error = np.array([[-3.0, -1.0, -0.5, 0.0, 0.25, 1.0, 7.0]], dtype="float32")
    prediction = tf.constant(error)
    with tf.GradientTape() as tape:
        tape.watch(prediction)
        value = HuberLoss(2.0).call(tf.zeros_like(prediction), prediction)
    np.testing.assert_allclose(tape.gradient(value, prediction), np.clip(error, -2.0, 2.0) / 7, rtol=1e-6)


def test_config_round_trip():
    loss = HuberLoss(delta=9.0, reduction="sum", name="reconstruction")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert (copy.delta, copy.reduction, copy.name) == (9.0, "sum", "reconstruction")
