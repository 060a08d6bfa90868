import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.optimizers.lookahead import Lookahead
from discern.optimizers.rectified_adam import RectifiedAdam

COMMON = {"learning_rate": 1e-3, "beta_1": 0.85, "beta_2": 0.95}


@pytest.fixture(scope="module")
def golden(golden_dir):
    return np.load(golden_dir / "radam.npz")


def assert_same_path(optimizer, golden, key, jit=False):
    """Compare the way from the start after each step, not the weights, which hardly move."""
    expected = golden[key] - golden["w0"]
    weight = keras.Variable(golden["w0"])
    optimizer.build([weight])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [weight]), jit_compile=jit)
    path = []
    for index in range(len(expected)):
        step(tf.constant(golden["grads"][index % len(golden["grads"])]))
        path.append(weight.numpy() - golden["w0"])
    np.testing.assert_allclose(np.stack(path), expected, rtol=0, atol=5e-6 * np.abs(expected).max())


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("default", {}),
        ("amsgrad", {"amsgrad": True}),
        ("wd", {"weight_decay": 0.01}),
        ("warm", {"total_steps": 10, "warmup_proportion": 0.2, "min_lr": 1e-5}),
    ],
)
def test_rectified_adam(golden, key, arguments, jit):
    assert_same_path(RectifiedAdam(**COMMON, **arguments), golden, f"radam_{key}", jit)


@pytest.mark.parametrize("jit", [False, True])
def test_lookahead(golden, jit):
    assert_same_path(Lookahead(RectifiedAdam(**COMMON)), golden, "lookahead_radam", jit)


def test_keras_adam_with_amsgrad_is_the_published_one(golden):
    assert_same_path(keras.optimizers.Adam(**COMMON, amsgrad=True, epsilon=1e-7), golden, "adam_amsgrad")
