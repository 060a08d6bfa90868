import numpy as np
import pytest
import tensorflow as tf

from discern.losses.huber import HuberLoss
from discern.losses.lnorm import Lnorm
from discern.losses.masked_cross_entropy import MaskedCrossEntropy


@pytest.fixture(scope="module")
def golden(golden_dir):
    return np.load(golden_dir / "losses.npz")


def assert_close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=5e-6 * np.abs(expected).max())


def assert_loss(loss, y_true, y_pred, golden, key):
    assert_close(loss.call(tf.constant(y_true), tf.constant(y_pred)), golden[f"{key}_call"])
    assert_close(loss(y_true, y_pred), golden[key])


def gradient(loss, y_true, y_pred):
    prediction = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(prediction)
        value = loss(y_true, prediction)
    return tape.gradient(value, prediction)


@pytest.mark.parametrize("delta", [1, 9])
def test_huber(golden, delta):
    assert_loss(HuberLoss(delta), golden["y_true"], golden["y_pred"], golden, f"huber_d{delta}")


def test_huber_gradient(golden):
    assert_close(gradient(HuberLoss(9.0), golden["y_true"], golden["y_pred"]), golden["huber_d9_grad"])


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("root", ["root", "noroot"])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_lnorm(golden, p, root, axis):
    loss = Lnorm(p, axis=axis, use_root=root == "root")
    assert_loss(loss, golden["y_true"], golden["y_pred"], golden, f"lnorm_p{p}_{root}_axis{axis}")


@pytest.mark.parametrize("lower", ["0", "0.1"])
@pytest.mark.parametrize("smoothing", ["0", "0.2"])
def test_masked_cross_entropy(golden, smoothing, lower):
    loss = MaskedCrossEntropy(golden["zeros"], lower_label_smoothing=float(lower), label_smoothing=float(smoothing))
    assert_loss(loss, golden["mce_true"], golden["mce_pred"], golden, f"mce_ls{smoothing}_low{lower}")


def test_masked_cross_entropy_with_one_zero_for_all_genes(golden):
    y_true = np.where(golden["mce_mask"], np.float32(0.0), golden["y_true"])
    loss = MaskedCrossEntropy(0.0, lower_label_smoothing=0.1)
    assert_close(loss(y_true, golden["mce_pred"]), golden["mce_scalar_zeros"])


def test_masked_cross_entropy_gradient(golden):
    loss = MaskedCrossEntropy(golden["zeros"], lower_label_smoothing=0.1)
    assert_close(gradient(loss, golden["mce_true"], golden["mce_pred"]), golden["mce_ls0_low0.1_grad"])
