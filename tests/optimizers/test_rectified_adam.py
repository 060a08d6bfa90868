import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.optimizers.rectified_adam import RectifiedAdam

RNG = np.random.default_rng(0)
START = RNG.normal(size=(3, 2)).astype("float32")
GRADIENTS = RNG.normal(0.3, 1.0, (12, 3, 2)).astype("float32")


def slow_radam(
    rate=1e-2,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-7,
    decay=0.0,
    amsgrad=False,
    threshold=5.0,
    schedule=lambda t: 1.0,
    to_sgd=True,
):
    """Algorithm 2 of Liu et al. in float64; yields the weights after each step."""
    w = START.astype("float64")
    m, v, largest = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    longest = 2 / (1 - beta_2) - 1
    for t, gradient in enumerate(GRADIENTS.astype("float64"), start=1):
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        largest = np.maximum(largest, v)
        length = longest - 2 * t * beta_2**t / (1 - beta_2**t)
        step = m / (1 - beta_1**t)
        if length >= threshold:
            r = np.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            step = r * step / (np.sqrt((largest if amsgrad else v) / (1 - beta_2**t)) + epsilon)
        if length >= threshold or to_sgd:
            w = w - rate * schedule(t) * (step + decay * w)
        yield w


def run(optimizer, jit=False):
    weight = keras.Variable(START)
    optimizer.build([weight])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [weight]), jit_compile=jit)
    for gradient in GRADIENTS:
        step(tf.constant(gradient))
        yield weight.numpy().copy()


def assert_same_path(optimizer, jit=False, **kwargs):
    actual, expected = np.stack(list(run(optimizer, jit))), np.stack(list(slow_radam(**kwargs)))
    moved = np.abs(expected - START).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5 * moved)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("beta_2", [0.95, 0.999])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_follows_the_algorithm(beta_2, amsgrad, jit):
    optimizer = RectifiedAdam(1e-2, beta_2=beta_2, amsgrad=amsgrad)
    assert_same_path(optimizer, jit, beta_2=beta_2, amsgrad=amsgrad)


@pytest.mark.parametrize("threshold", [4.5, 5.0, 8.0])
def test_threshold_decides_when_the_step_becomes_adaptive(threshold):
    assert_same_path(RectifiedAdam(1e-2, beta_2=0.95, sma_threshold=threshold), beta_2=0.95, threshold=threshold)


@pytest.mark.parametrize("decay", [0.0, 0.2])  # with and without the update in one pass
def test_without_steps_of_gradient_descent_weights_wait(decay):
    optimizer = RectifiedAdam(1e-2, beta_2=0.95, weight_decay=decay, degenerated_to_sgd=False)
    assert_same_path(optimizer, beta_2=0.95, decay=decay, to_sgd=False)
    first, *_, last = run(RectifiedAdam.from_config(optimizer.get_config()))
    np.testing.assert_array_equal(first, START)
    assert not np.array_equal(last, START)


def test_a_large_gradient_moves_no_weight_further_than_the_learning_rate():
    weight = keras.Variable(START)
    optimizer = RectifiedAdam(1e-2, beta_2=0.95, degenerated_to_sgd=False)
    optimizer.build([weight])
    for gradient in GRADIENTS:
        before = weight.numpy().copy()
        optimizer.apply([tf.constant(1e4 * gradient)], [weight])
        assert np.abs(weight.numpy() - before).max() < 2e-2


def test_warm_up_decay_and_weight_decay_together():
    def schedule(t):
        return t / 3 if t <= 3 else 1 - (1 - 0.1) * min(t - 3, 7) / 7

    optimizer = RectifiedAdam(1e-2, beta_2=0.95, total_steps=10, warmup_proportion=0.3, min_lr=1e-3, weight_decay=0.2)
    assert_same_path(optimizer, beta_2=0.95, decay=0.2, schedule=schedule)


def test_learning_rate_schedule():
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-2, decay_steps=2, decay_rate=0.5)
    assert_same_path(RectifiedAdam(schedule, beta_2=0.95), beta_2=0.95, schedule=lambda t: 0.5 ** ((t - 1) / 2))


def test_long_runs_stay_finite():
    weight = keras.Variable(START)
    optimizer = RectifiedAdam(1e-3)
    optimizer.build([weight])
    optimizer.iterations.assign(10**7)
    optimizer.apply([tf.constant(GRADIENTS[0])], [weight])
    assert np.isfinite(weight.numpy()).all()
    assert not np.array_equal(weight.numpy(), START)


def test_excluded_weights_do_not_decay():
    weight, free = keras.Variable(START), keras.Variable(START)
    optimizer = RectifiedAdam(1e-2, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[free])
    optimizer.apply([tf.zeros((3, 2))] * 2, [weight, free])
    np.testing.assert_array_equal(free.numpy(), START)
    np.testing.assert_allclose(weight.numpy(), START * (1 - 1e-2 * 0.5), rtol=1e-6)


def test_config_round_trip():
    optimizer = RectifiedAdam(
        2e-3, 0.85, 0.95, 1e-6, weight_decay=0.01, amsgrad=True, sma_threshold=4.5, total_steps=7,
        warmup_proportion=0.2, min_lr=1e-5, name="radam", clipnorm=1.0,
    )  # fmt: skip
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(copy, RectifiedAdam)
    assert copy.get_config() == optimizer.get_config()
    assert {"weight_decay": 0.01, "total_steps": 7, "clipnorm": 1.0}.items() <= copy.get_config().items()
    np.testing.assert_array_equal(np.stack(list(run(copy))), np.stack(list(run(optimizer))))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_trains_a_model(policy, jit):
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model.compile(RectifiedAdam(0.02, beta_2=0.95), "mse", jit_compile=jit)
    x = RNG.normal(size=(64, 4)).astype("float32")
    history = model.fit(x, x.sum(axis=1), batch_size=16, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]
