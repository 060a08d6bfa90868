import keras
import numpy as np
import pytest

from discern.layers.normalisation import batch_norm, layer_norm
from discern.layers.output_functions import apply_output_function
from discern.registry import ACTIVATIONS

LIBRARY_SIZE = 20000.0


@pytest.fixture(scope="module")
def golden(golden_dir):
    return np.load(golden_dir / "activations.npz")


def assert_close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=5e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["None", "LSN", "softmax", "sigsoftmax", "softplus"])
def test_output_functions(golden, name):
    output_fn = None if name == "None" else name
    assert_close(apply_output_function(golden["z"], output_fn, LIBRARY_SIZE), golden[f"rescale_{name}"])


def test_dotted_output_function(golden):
    name = "tensorflow.keras.activations.softplus"
    assert_close(apply_output_function(golden["z"], name, LIBRARY_SIZE), golden[f"rescale_{name}"])


def test_mish(golden):
    assert_close(ACTIVATIONS.get("tensorflow_addons.activations.mish")(golden["z"]), golden["mish"])


@pytest.mark.parametrize(
    ("function", "training", "array"),
    [
        (layer_norm, False, "layernorm"),
        (layer_norm, True, "layernorm"),
        (batch_norm, False, "batchnorm_inference"),
        (batch_norm, True, "batchnorm_training"),
    ],
)
def test_normalisation(golden, function, training, array):
    n_features = golden["z"].shape[1]
    cells, labels = keras.Input((n_features,)), keras.Input((2,))
    model = keras.Model(cells, function(cells, labels, n_features))
    assert_close(model(golden["z"], training=training), golden[array])
