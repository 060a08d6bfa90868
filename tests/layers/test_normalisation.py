import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.layers import normalisation
from discern.layers.normalisation import BatchConditionalShift
from discern.registry import NORMALISATIONS

N_CELLS, SIZE, N_BATCHES = 7, 5, 3


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    cells = rng.normal(1.0, 4.0, (N_CELLS, SIZE)).astype("float32")
    labels = rng.dirichlet(np.ones(N_BATCHES), N_CELLS).astype("float32")
    return cells, labels


def model_of(kind, **kwargs):
    cells, labels = keras.Input((SIZE,)), keras.Input((N_BATCHES,))
    return keras.Model([cells, labels], NORMALISATIONS.get(kind)(cells, labels, SIZE, **kwargs))


def shift_of(model):
    return next(layer for layer in model.layers if isinstance(layer, BatchConditionalShift))


def expected(name, cells, labels, kernel):
    x = cells.astype("float64")
    if "layernorm" in name:
        normal = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3)
    else:
        normal = x / np.sqrt(1.001)
    return normal + labels @ kernel if name.startswith("conditional") else normal


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", NORMALISATIONS.entries)
def test_matches_the_formula_in_training_and_inference(name, jit, arrays):
    cells, labels = arrays
    model = model_of(name)
    kernel = np.random.default_rng(1).normal(size=(N_BATCHES, SIZE)).astype("float32")
    if name.startswith("conditional"):
        shift_of(model).kernel.assign(kernel)
    for training in (True, False):  # training must leave no trace in moving statistics
        actual = tf.function(model, jit_compile=jit)([cells, labels], training=training)
        np.testing.assert_allclose(actual, expected(name, cells, labels, kernel), rtol=2e-6, atol=2e-6)


def test_batch_norm_stays_still_even_when_a_whole_model_is_made_trainable(arrays):
    cells, labels = arrays
    model = model_of("batchnorm")
    model.trainable = True
    np.testing.assert_allclose(model([cells, labels], training=True), cells / np.sqrt(1.001), rtol=1e-6)


@pytest.mark.parametrize("name", ["conditionallayernorm", "conditionalbatchnorm"])
def test_shift_starts_at_zero_and_its_kernel_is_the_only_trainable_weight(name, arrays):
    model = model_of(name)
    assert [weight.shape for weight in model.trainable_weights] == [(N_BATCHES, SIZE)]
    assert shift_of(model).kernel is model.trainable_weights[0]
    np.testing.assert_array_equal(shift_of(model).kernel.numpy(), 0.0)


@pytest.mark.parametrize("name", ["layernorm", "batchnorm"])
def test_unconditional_kinds_have_nothing_to_train(name):
    assert model_of(name).trainable_weights == []


def test_names_follow_the_prefix():
    names = {layer.name for layer in model_of("conditionallayernorm", name="encoder_0").layers}
    assert {"encoder_0_norm", "encoder_0_batch", "encoder_0_shifted"} <= names


def test_regularization_acts_on_the_shift_per_cell(arrays):
    cells, labels = arrays
    model = model_of("conditionallayernorm", regularization=keras.regularizers.L1L2(l1=0.3, l2=0.7))
    kernel = np.random.default_rng(1).normal(size=(N_BATCHES, SIZE)).astype("float32")
    shift_of(model).kernel.assign(kernel)
    model([cells, labels])
    shift = labels @ kernel
    penalty = (0.3 * np.abs(shift) + 0.7 * shift**2).sum() / N_CELLS
    np.testing.assert_allclose(float(model.losses[0]), penalty, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")  # Keras
def test_saves_and_loads(tmp_path, arrays):
    cells, labels = arrays
    model = model_of("conditionallayernorm", regularization=keras.regularizers.L2(0.1), name="a")
    shift_of(model).kernel.assign(np.ones((N_BATCHES, SIZE)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.get_layer("a_batch"), BatchConditionalShift)
    np.testing.assert_array_equal(loaded([cells, labels]), model([cells, labels]))
    assert len(loaded.losses) == 1


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NORMALISATIONS.entries)
def test_mixed_precision_stays_close(name, policy, arrays):
    cells, labels = arrays
    keras.mixed_precision.set_global_policy(policy)
    try:
        actual = np.asarray(model_of(name)([cells, labels]), dtype="float32")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_allclose(actual, expected(name, cells, labels, np.zeros((N_BATCHES, SIZE))), rtol=2e-2, atol=2e-2)


def test_published_name_gives_the_same_numbers(arrays):
    cells, labels = keras.Input((SIZE,)), keras.Input((N_BATCHES,))
    model = keras.Model([cells, labels], normalisation.condlayernorm(cells, labels, SIZE, None))
    np.testing.assert_allclose(
        model(list(arrays)), expected("conditionallayernorm", *arrays, np.zeros((3, 5))), atol=2e-6
    )
    parameters = list(inspect.signature(normalisation.condlayernorm).parameters)
    assert parameters == ["input_cells", "labels", "size", "regularization"]
