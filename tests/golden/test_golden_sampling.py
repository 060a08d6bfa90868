"""Drawing zeros, scaling and generated files against the numbers of the published program."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern import functions
from discern.io import generate_h5ad

SCALINGS = {
    "genes": {"mean": "genes", "var": "genes"},
    "num": {"mean": 0.5, "var": 2.0},
    "add": {"mean": "genes", "var": "genes", "add_to_var": 0.1, "add_to_mean": 0.3},
}
FILES = {
    "gen_noscale": (0.1, {}),
    "gen_scale_thr01": (0.1, SCALINGS["genes"]),
    "gen_scale_neginf": (-np.inf, SCALINGS["genes"]),
}


@pytest.fixture(scope="module")
def golden(golden_dir):
    with np.load(golden_dir / "sampling.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def var(golden):
    return pd.DataFrame({name: golden[name] for name in ("mean_scaling", "var_scaling")}).set_axis(
        [f"gene{i}" for i in range(25)]
    )


@pytest.fixture
def draws(golden):
    """The generator the published program drew from."""
    generator = np.random.RandomState(3)
    np.testing.assert_array_equal(np.random.RandomState(3).random((14, 25)), golden["u"])
    return generator


def assert_close(ours, golden):
    ours = ours.toarray() if sparse.issparse(ours) else np.asarray(ours)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, golden, rtol=0, atol=5e-6 * np.abs(golden).max())


def test_sample_counts(golden, draws):
    np.testing.assert_array_equal(
        functions.sample_counts(golden["counts"], golden["prob"], rng=draws), golden["sampled_plain"]
    )


def test_sample_counts_of_scaled_data(golden, var, draws):
    uns = {"fixed_scaling": SCALINGS["genes"]}
    assert_close(
        functions.sample_counts(golden["counts"], golden["prob"], var, uns, rng=draws), golden["sampled_scaled"]
    )


@pytest.mark.parametrize("as_matrix", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize("name", SCALINGS)
def test_scaling_and_rescaling(golden, var, name, as_matrix):
    for function in (functions.scale_by_params, functions.rescale_by_params):
        adata = AnnData(as_matrix(golden["counts"]), var=var)
        function(adata, SCALINGS[name])
        assert_close(adata.X, golden[f"{function.__name__.split('_')[0]}_{name}"])


@pytest.mark.parametrize("name", FILES)
def test_generate_h5ad(golden, var, draws, name):
    threshold, scaling = FILES[name]
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(14)])
    uns = {"fixed_scaling": scaling} if scaling else {}
    adata = generate_h5ad((golden["counts"], golden["prob"]), var, obs, threshold=threshold, rng=draws, uns=uns)
    assert_close(adata.X, golden[f"{name}_X"])
    assert_close(adata.layers["estimated_counts"], golden[f"{name}_est"])
    assert_close(adata.layers["estimated_dropouts"], golden[f"{name}_drop"])
    np.testing.assert_array_equal(_dense(adata.X) == 0, golden[f"{name}_X"] == 0)
    assert list(adata.uns) == []


def _dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else matrix
