import keras
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern import functions, registry
from discern.errors import DataError, ParametersError, ShapeError, UnknownNameError
from discern.layers.output_functions import lsn_expression
from discern.losses.huber import HuberLoss
from discern.losses.lnorm import Lnorm
from discern.optimizers.rectified_adam import RectifiedAdam

SPELLINGS = {
    "mish": keras.activations.mish,
    "tensorflow_addons.activations.mish": keras.activations.mish,
    "tensorflow.keras.activations.softplus": keras.activations.softplus,
    "tensorflow.keras.activations.softmax": keras.activations.softmax,
    "tensorflow.nn.relu": keras.activations.relu,
    "tf.nn.swish": keras.activations.silu,
    "RectifiedAdam": RectifiedAdam,
    "tensorflow_addons.optimizers.RectifiedAdam": RectifiedAdam,
    "tensorflow.keras.optimizers.Adam": keras.optimizers.Adam,
    "tensorflow.keras.optimizers.schedules.ExponentialDecay": keras.optimizers.schedules.ExponentialDecay,
    "tensorflow.keras.regularizers.L1L2": keras.regularizers.L1L2,
    "tensorflow.keras.regularizers.l1_l2": keras.regularizers.L1L2,
    "HuberLoss": HuberLoss,
    "discern.estimators.losses.Lnorm": Lnorm,
    "tensorflow.keras.losses.MeanSquaredError": keras.losses.MeanSquaredError,
    "LSN": lsn_expression,
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_gives_the_object_itself(name):
    assert functions.get_function_by_name(name) is SPELLINGS[name]


@pytest.mark.parametrize(
    "table", ["ACTIVATIONS", "OPTIMIZERS", "RECONSTRUCTION_LOSSES", "REGULARIZERS", "LEARNING_RATE_SCHEDULES"]
)
def test_every_name_of_every_table_is_found(table):
    entries = getattr(registry, table).entries
    for name, entry in entries.items():
        assert functions.get_function_by_name(name) is entry.load()


@pytest.mark.parametrize("name", ["nothing", "os.system", "tensorflow.keras.models.load_model", "", "keras.nothing"])
def test_other_names_are_key_errors_and_nothing_is_imported(name):
    with pytest.raises(KeyError, match="is the name of no activation, optimizer"):
        functions.get_function_by_name(name)


def test_members_are_the_published_classes():
    losses = functions.getmembers("discern.estimators.losses")
    assert set(losses) == {"DummyLoss", "HuberLoss", "Lnorm", "MaskedCrossEntropy"}
    assert losses["HuberLoss"] is HuberLoss
    layers = functions.getmembers("discern.estimators.customlayers")
    assert set(layers) == {"GaussianReparametrization", "MMDPP", "SigmaRegularization"}
    callbacks = functions.getmembers("discern.estimators.callbacks")
    assert set(callbacks) == {"DelayedEarlyStopping", "VisualisationCallback"}


@pytest.mark.parametrize("name", ["os", "discern.errors", "discern.estimators", "losses", ""])
def test_members_of_other_modules_are_key_errors(name):
    with pytest.raises(UnknownNameError, match=r"Known: discern\.estimators\.callbacks"):
        functions.getmembers(name)
    assert issubclass(UnknownNameError, KeyError)
    assert issubclass(UnknownNameError, ParametersError)


@pytest.fixture
def features():
    return pd.DataFrame({"mean_scaling": [1.0, 2.0, 0.0], "var_scaling": [0.5, 4.0, 2.0]}, index=["a", "b", "c"])


@pytest.mark.parametrize(
    ("scalings", "mean", "std"),
    [
        ({"mean": "genes", "var": "genes"}, [1, 2, 0], [0.5, 4, 2]),
        ({"mean": 0.5, "var": 2}, [0.5] * 3, [2] * 3),
        ({"mean": "genes", "var": 2.0, "add_to_mean": 1, "add_to_var": 0.5}, [2, 3, 1], [2.5] * 3),
        ({"mean": 1, "var": "genes", "add_to_mean": -1}, [0] * 3, [0.5, 4, 2]),
    ],
)
def test_parse_mean_var(features, scalings, mean, std):
    found = functions.parse_mean_var(features, scalings)
    np.testing.assert_allclose(found, [mean, std])
    assert all(array.shape == (3,) for array in found)


@pytest.mark.parametrize(
    ("scalings", "message"),
    [
        ({"mean": "cells", "var": 1}, "takes a number or 'genes', received 'cells'"),
        ({"mean": 1, "var": 0}, "deviation <= 0"),
        ({"mean": 1, "std": 2}, r"unknown keys \['std'\]"),
    ],
)
def test_other_scalings_are_refused(features, scalings, message):
    with pytest.raises(DataError, match=message):
        functions.parse_mean_var(features, scalings)


def test_genes_without_recorded_scaling_are_refused(features):
    with pytest.raises(DataError, match="has no column 'var_scaling'"):
        functions.parse_mean_var(features[["mean_scaling"]], {"mean": "genes", "var": "genes"})


@pytest.fixture(params=[np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def adata(request, features):
    return AnnData(request.param(EXPRESSION), var=features)


EXPRESSION = np.array([[0, 4, 1], [2, 0, 1], [1, 8, 1], [0, 0, 1]], dtype=np.float32)


@pytest.mark.parametrize(
    "scalings",
    [{"mean": "genes", "var": "genes"}, {"mean": 0.5, "var": 2.0}, {"mean": 1, "var": "genes", "add_to_var": 1}],
)
def test_rescaling_undoes_scaling(adata, scalings):
    assert functions.scale_by_params(adata, scalings) is None
    assert isinstance(adata.X, np.ndarray)
    assert adata.X.dtype == np.float32
    mean, std = functions.parse_mean_var(adata.var, scalings)
    np.testing.assert_allclose(adata.X, (EXPRESSION - mean) / std, rtol=1e-6)
    assert functions.rescale_by_params(adata, scalings) is None
    np.testing.assert_allclose(adata.X, EXPRESSION, atol=1e-6)


def test_rescaling_clips_at_zero(adata):
    functions.rescale_by_params(adata, {"mean": -2.0, "var": 1.0})
    np.testing.assert_allclose(adata.X, np.maximum(EXPRESSION - 2, 0))


def test_scale_by_given_numbers(adata):
    functions.scale(adata, mean=[1, 2, 3], var=2.0)
    assert adata.X.dtype == np.float32
    np.testing.assert_allclose(adata.X, (EXPRESSION - [1, 2, 3]) / 2)


def test_scale_by_the_cells_themselves(adata):
    functions.scale(adata)
    expected = (EXPRESSION - EXPRESSION.mean(axis=0)) / np.maximum(EXPRESSION.std(axis=0), 1e-8)
    np.testing.assert_allclose(adata.X, expected, rtol=1e-6)
    np.testing.assert_array_equal(adata.X[:, 2], 0)  # a gene that never varies


@pytest.mark.parametrize(("given", "mean", "std"), [({"mean": 0}, 0, None), ({"var": [1, 2, 4]}, None, [1, 2, 4])])
def test_what_is_not_given_comes_from_the_cells(adata, given, mean, std):
    functions.scale(adata, **given)
    mean = EXPRESSION.mean(axis=0) if mean is None else mean
    std = np.maximum(EXPRESSION.std(axis=0), 1e-8) if std is None else std
    np.testing.assert_allclose(adata.X, (EXPRESSION - mean) / std, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"mean": [1, 2]}, ShapeError, "`mean` has shape \\(2,\\)"),
        ({"mean": 0, "var": [1, 0, 1]}, DataError, "must be greater than 0"),
        ({"mean": 0, "var": -1}, DataError, "must be greater than 0"),
        ({"mean": np.nan, "var": 1}, DataError, "`mean` holds values that are not finite"),
    ],
)
def test_numbers_that_cannot_scale_are_refused(adata, given, error, message):
    with pytest.raises(error, match=message):
        functions.scale(adata, **given)
