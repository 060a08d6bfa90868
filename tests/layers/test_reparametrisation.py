import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.layers.reparametrisation import GaussianReparametrization

MEAN = np.linspace(-2.0, 2.0, 5, dtype="float32")
LOG_STD = np.linspace(-3.0, 1.0, 5, dtype="float32")


def inputs(n_cells):
    return [np.tile(MEAN, (n_cells, 1)), np.tile(LOG_STD, (n_cells, 1))]


@pytest.mark.parametrize("jit", [False, True])
def test_draws_with_exp_log_std_in_training(jit):
    layer = GaussianReparametrization(seed=1)
    call = tf.function(lambda x: layer(x, training=True), jit_compile=jit)
    first, second = np.asarray(call(inputs(20000))), np.asarray(call(inputs(20000)))
    standard_error = np.exp(LOG_STD) / np.sqrt(20000)
    assert (np.abs(first.mean(0) - MEAN) < 5 * standard_error).all()
    np.testing.assert_allclose(first.std(0), np.exp(LOG_STD), rtol=0.03)
    assert not np.allclose(first, second)


def test_is_the_mean_otherwise():
    np.testing.assert_array_equal(GaussianReparametrization()(inputs(3), training=False), inputs(3)[0])
    np.testing.assert_array_equal(GaussianReparametrization()(inputs(3)), inputs(3)[0])


def test_same_seed_same_draws_and_config_round_trip():
    layer = GaussianReparametrization(seed=5, name="sample")
    copy = GaussianReparametrization.from_config(layer.get_config())
    assert copy.name == "sample"
    np.testing.assert_array_equal(layer(inputs(4), training=True), copy(inputs(4), training=True))
    other = GaussianReparametrization(seed=6)
    assert not np.allclose(layer(inputs(4), training=True), other(inputs(4), training=True))


def test_gradient_reaches_both_inputs():
    mean, log_std = map(tf.constant, inputs(3))
    layer = GaussianReparametrization(seed=0)
    with tf.GradientTape() as tape:
        tape.watch([mean, log_std])
        draw = layer([mean, log_std], training=True)
    to_mean, to_log_std = tape.gradient(draw, [mean, log_std])
    np.testing.assert_array_equal(to_mean, np.ones((3, 5)))
    np.testing.assert_allclose(to_log_std, np.asarray(draw) - mean, rtol=1e-4, atol=1e-6)


def test_saves_and_loads_in_a_model(tmp_path):
    mean, log_std = keras.Input((5,)), keras.Input((5,))
    model = keras.Model([mean, log_std], GaussianReparametrization(seed=3)([mean, log_std]))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs(2), training=True), model(inputs(2), training=True))


def test_mixed_precision():
    layer = GaussianReparametrization(seed=0, dtype="mixed_float16")
    draw = layer(inputs(4), training=True)
    assert draw.dtype == tf.float16
    assert np.isfinite(np.asarray(draw)).all()
