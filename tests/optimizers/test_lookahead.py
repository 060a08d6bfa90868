import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.errors import ShapeError
from discern.optimizers.lookahead import Lookahead
from discern.optimizers.rectified_adam import RectifiedAdam

RNG = np.random.default_rng(0)
START = RNG.normal(size=(3, 2)).astype("float32")
GRADIENTS = RNG.normal(size=(13, 3, 2)).astype("float32")
X = RNG.normal(size=(48, 4)).astype("float32")
Y = X.sum(axis=1)

# Keras itself converts its variables in the old way when it saves
saves = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")


def slow_lookahead(period, share, rate):
    """Lookahead around plain gradient descent, float64; yields the weights after each step."""
    fast = slow = START.astype("float64")
    for t, gradient in enumerate(GRADIENTS, start=1):
        fast = fast - rate * gradient
        if t % period == 0:
            fast = slow = slow + share * (fast - slow)
        yield fast


def run(optimizer, jit=False):
    weight = keras.Variable(START)
    optimizer.build([weight])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [weight]), jit_compile=jit)
    for gradient in GRADIENTS:
        step(tf.constant(gradient))
        yield weight.numpy().copy()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(("period", "share"), [(6, 0.5), (1, 0.3), (4, 1.0)])
def test_follows_the_algorithm(period, share, jit):
    optimizer = Lookahead(keras.optimizers.SGD(0.1), sync_period=period, slow_step_size=share)
    actual = np.stack(list(run(optimizer, jit)))
    np.testing.assert_allclose(actual, list(slow_lookahead(period, share, 0.1)), rtol=1e-5, atol=1e-6)


def test_slow_weights_start_where_training_starts():
    weight = keras.Variable(np.zeros((3, 2), "float32"))
    optimizer = Lookahead(keras.optimizers.SGD(0.1), sync_period=1)
    optimizer.build([weight])
    weight.assign(START)  # weights loaded after the optimizer was built
    optimizer.apply([tf.constant(GRADIENTS[0])], [weight])
    np.testing.assert_allclose(weight.numpy(), START - 0.05 * GRADIENTS[0], rtol=1e-6)


def test_accumulated_gradients_count_as_one_step():
    accumulating = Lookahead(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), sync_period=2)
    weight = keras.Variable(START)
    for gradient in np.repeat(GRADIENTS, 2, axis=0):
        accumulating.apply([tf.constant(gradient)], [weight])
    np.testing.assert_allclose(weight.numpy(), list(slow_lookahead(2, 0.5, 0.1))[-1], rtol=1e-5, atol=1e-6)


def test_constraints_hold_after_a_synchronisation_too():
    def whole_numbers(values):
        return tf.round(values)

    weight = keras.Variable(np.round(START))
    weight.constraint = whole_numbers
    optimizer = Lookahead(keras.optimizers.SGD(1.0), sync_period=2)
    for gradient in GRADIENTS:
        optimizer.apply([tf.constant(gradient)], [weight])
        np.testing.assert_array_equal(weight.numpy(), np.round(weight.numpy()))
    slow = optimizer.slow_weights[0].numpy()
    assert (slow != np.round(slow)).any()  # without the constraint the weights would be these


def test_learning_rate_and_iterations_are_the_inner_ones():
    inner = keras.optimizers.SGD(0.1)
    optimizer = Lookahead(inner)
    optimizer.learning_rate = 0.02
    assert float(inner.learning_rate) == float(optimizer.learning_rate) == pytest.approx(0.02)
    list(run(optimizer))
    assert int(optimizer.iterations) == int(inner.iterations) == len(GRADIENTS)


def test_variables_hold_the_slow_weights_and_the_inner_state_once():
    optimizer = Lookahead(RectifiedAdam(amsgrad=True))
    list(run(optimizer))
    paths = [variable.path for variable in optimizer.variables]
    assert len(set(paths)) == len(paths)
    for suffix in ("slow", "_m", "_v", "vhat"):
        assert sum(path.endswith(suffix) for path in paths) == 1
    assert {id(variable) for variable in optimizer.inner_optimizer.variables} < {id(v) for v in optimizer.variables}


def test_config_round_trip():
    optimizer = Lookahead(RectifiedAdam(2e-3, beta_2=0.95), sync_period=4, slow_step_size=0.25, name="ahead")
    config = optimizer.get_config()
    copy = Lookahead.from_config(config)
    assert copy.get_config() == config == optimizer.get_config()
    assert isinstance(copy.inner_optimizer, RectifiedAdam)
    np.testing.assert_array_equal(np.stack(list(run(copy))), np.stack(list(run(optimizer))))


def compiled_model(jit=False):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    model.compile(Lookahead(RectifiedAdam(0.03, beta_2=0.95)), "mse", jit_compile=jit)
    return model


@pytest.mark.parametrize("jit", [False, True])
def test_trains_a_model(jit):
    model = compiled_model(jit)
    history = model.fit(X, Y, batch_size=16, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]
    assert int(model.optimizer.iterations) == 60


def test_trains_in_half_precision_with_loss_scaling():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = compiled_model()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    history = model.fit(X, Y, batch_size=16, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]


@saves
@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_resuming_from_a_file_goes_on_exactly(file, tmp_path):
    def fit(model):
        model.fit(X, Y, batch_size=12, epochs=2, shuffle=False, verbose=0)

    model = compiled_model()
    fit(model)  # eight steps: in the middle of a period
    if file.endswith(".keras"):
        model.save(tmp_path / file)
        resumed = keras.models.load_model(tmp_path / file)
    else:
        model.save_weights(tmp_path / file)
        resumed = compiled_model()
        resumed.optimizer.build(resumed.trainable_variables)
        resumed.load_weights(tmp_path / file)
    for before, after in zip(model.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(before.numpy(), after.numpy())
    fit(model)
    fit(resumed)
    for expected, actual in zip(model.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_state_of_another_model_is_an_error():
    store: dict[str, np.ndarray] = {}
    optimizer, other = Lookahead(keras.optimizers.SGD()), Lookahead(keras.optimizers.SGD())
    optimizer.build([keras.Variable(START)])
    optimizer.save_own_variables(store)
    other.build([keras.Variable(START), keras.Variable(START)])
    with pytest.raises(ShapeError, match="Build the optimizer on the model that was saved"):
        other.load_own_variables(store)
