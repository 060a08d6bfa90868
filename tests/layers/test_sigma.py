import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.layers.sigma import SigmaRegularization

LOG_STD = np.random.default_rng(0).normal(-5.0, 4.0, (6, 9)).astype("float32")


@pytest.mark.parametrize("jit", [False, True])
def test_is_latent_dim_times_the_mean_absolute_value(jit):
    layer = SigmaRegularization()
    actual = tf.function(layer, jit_compile=jit)(LOG_STD)
    expected = [9 * np.mean([abs(float(value)) for value in row]) for row in LOG_STD]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_shape_and_reload():
    layer = SigmaRegularization(name="sigma_regularization")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy(keras.Input((9,))).shape == (None,)
    np.testing.assert_array_equal(copy(LOG_STD), layer(LOG_STD))


def test_float32_under_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        value = SigmaRegularization()(LOG_STD * 1e4)  # beyond the largest half-precision number
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_allclose(value, np.abs(LOG_STD * 1e4).sum(1), rtol=1e-6)
