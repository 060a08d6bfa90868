import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, softmax

from discern.errors import ParametersError, UnknownNameError
from discern.layers.output_functions import OutputExpression, apply_output_function

LIBRARY_SIZE = 20000.0
SCORES = np.random.default_rng(0).normal(0.0, 5.0, (6, 11)).astype("float32")


def share(name, x):
    x = x.astype("float64")
    if name == "softmax":
        return softmax(x, axis=1)
    weight = np.maximum(x, 0.0) if name == "LSN" else softmax(x, axis=1) * expit(x)
    return weight / weight.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", ["softmax", "LSN", "sigsoftmax"])
def test_normalised_functions(name, jit):
    layer = OutputExpression(name, LIBRARY_SIZE)
    actual = tf.function(layer, jit_compile=jit)(SCORES)
    np.testing.assert_allclose(actual, np.log1p(LIBRARY_SIZE * share(name, SCORES)), rtol=5e-6, atol=1e-6)
    np.testing.assert_allclose(np.expm1(np.asarray(actual, "float64")).sum(1), LIBRARY_SIZE, rtol=1e-5)


def test_plain_activations_are_not_rescaled():
    np.testing.assert_allclose(
        apply_output_function(SCORES, "tensorflow.nn.softplus", LIBRARY_SIZE), np.logaddexp(0, SCORES), rtol=1e-6
    )
    assert apply_output_function(SCORES, None, LIBRARY_SIZE) is SCORES


@pytest.mark.parametrize("name", ["softmax", "LSN", "sigsoftmax"])
def test_extreme_scores_stay_finite(name):
    extreme = np.array([[-1e4, -1e4, -2e4], [1e4, -1e4, 0.0], [0.0, 0.0, 0.0]], dtype="float32")
    x = tf.constant(extreme)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = apply_output_function(x, name, LIBRARY_SIZE)
    assert np.isfinite(value).all()
    assert np.isfinite(tape.gradient(value, x)).all()


def test_cell_without_a_positive_score_is_zero():
    np.testing.assert_array_equal(apply_output_function(np.full((1, 3), -1.0, "float32"), "LSN", LIBRARY_SIZE), 0.0)


@pytest.mark.parametrize("name", ["softmax", "LSN", "sigsoftmax"])
def test_missing_library_size_is_an_error(name):
    with pytest.raises(ParametersError, match="needs a library size"):
        apply_output_function(SCORES, name, None)


def test_unknown_name_is_an_error():
    with pytest.raises(UnknownNameError, match="Did you mean 'softplus'"):
        apply_output_function(SCORES, "softpluss", None)


def test_saves_and_loads(tmp_path):
    scores = keras.Input((11,))
    model = keras.Model(scores, OutputExpression("sigsoftmax", LIBRARY_SIZE, name="decoder_counts")(scores))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(SCORES), model(SCORES))


def test_float32_under_mixed_precision():
    layer = OutputExpression("softmax", LIBRARY_SIZE)
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        mixed = OutputExpression("softmax", LIBRARY_SIZE)(SCORES)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_array_equal(mixed, layer(SCORES))
