import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.losses.masked_cross_entropy import MaskedCrossEntropy

RNG = np.random.default_rng(0)
ZEROS = RNG.normal(-1.0, 0.5, 9)
IS_ZERO = RNG.random((6, 9)) < 0.5
EXPRESSION = np.where(IS_ZERO, ZEROS, RNG.normal(2.0, 1.0, (6, 9))).astype("float32")
PROBABILITY = RNG.uniform(0.02, 0.98, (6, 9)).astype("float32")


def slow(is_zero, probability, lower, smoothing):
    target = np.where(is_zero, lower, 1.0) * (1 - smoothing) + smoothing / 2
    p = probability.astype("float64")
    return -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean(axis=1)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(("lower", "smoothing"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_matches_the_textbook_formula(lower, smoothing, jit):
    loss = MaskedCrossEntropy(ZEROS, lower_label_smoothing=lower, label_smoothing=smoothing)
    actual = tf.function(loss.call, jit_compile=jit)(EXPRESSION, PROBABILITY)
    np.testing.assert_allclose(actual, slow(IS_ZERO, PROBABILITY, lower, smoothing), rtol=1e-5)


def test_zeros_may_be_one_number_and_tolerance_decides():
    near = np.array([[0.0, 5e-7, -5e-7, 2e-6, -2e-6, 1e-4, 3.0]], dtype="float32")
    np.testing.assert_array_equal(MaskedCrossEntropy(0.0).targets(tf.constant(near)), [[0, 0, 0, 1, 1, 1, 1]])
    wide = MaskedCrossEntropy(0.0, zeros_eps=1e-3).targets(tf.constant(near))
    np.testing.assert_array_equal(wide, [[0, 0, 0, 0, 0, 0, 1]])


@pytest.mark.parametrize("jit", [False, True])
def test_probabilities_of_exactly_zero_and_one(jit):
    expression = np.array([[0.0, 0.0, 3.0, 3.0]], dtype="float32")
    probability = np.array([[0.0, 1.0, 0.0, 1.0]], dtype="float32")
    loss = MaskedCrossEntropy(0.0)

    @tf.function(jit_compile=jit)
    def value_and_gradient(probability):
        with tf.GradientTape() as tape:
            tape.watch(probability)
            value = loss(expression, probability)
        return value, tape.gradient(value, probability)

    value, gradient = value_and_gradient(tf.constant(probability))
    # two of four are wrong with certainty: −log(2e-7) each, up to the float32 rounding of 1 − 1e-7
    np.testing.assert_allclose(float(value), -np.log(2e-7) / 2, rtol=1e-2)
    np.testing.assert_array_equal(gradient, np.zeros((1, 4)))


def test_gradient_vanishes_at_the_target():
    probability = tf.fill((1, 2), 0.1)
    loss = MaskedCrossEntropy(0.0, lower_label_smoothing=0.1)
    with tf.GradientTape() as tape:
        tape.watch(probability)
        value = loss(np.array([[0.0, 3.0]], "float32"), probability)
    zero, nonzero = tape.gradient(value, probability)[0]
    assert abs(float(zero)) < 1e-5
    np.testing.assert_allclose(float(nonzero), -5.0, rtol=1e-5)  # −1/p, mean over two genes


def test_trains_in_half_precision():
    scores = keras.Input((9,))
    model = keras.Model(scores, keras.layers.Activation("sigmoid", dtype="mixed_float16")(scores))
    extreme = np.where(IS_ZERO, 30.0, -30.0).astype("float32")
    loss = MaskedCrossEntropy(ZEROS)
    assert np.isfinite(float(loss(EXPRESSION, model(extreme))))


def test_config_round_trip(tmp_path):
    loss = MaskedCrossEntropy(
        ZEROS, zeros_eps=1e-5, lower_label_smoothing=0.1, label_smoothing=0.2, reduction="sum", name="decoder_dropouts"
    )
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert copy.get_config() == loss.get_config()
    np.testing.assert_array_equal(copy(EXPRESSION, PROBABILITY), loss(EXPRESSION, PROBABILITY))
