import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError
from discern.io import estimate_csr_nbytes, generate_h5ad
from discern.io.writing import csr_when_smaller, write_h5ad
from discern.io.zero_drawing import draw_zeros

GENES = ["a", "b", "c", "d"]


@pytest.fixture
def var():
    return pd.DataFrame({"mean_scaling": [1.0, 2.0, 3.0, 0.5], "var_scaling": [1.0, 0.5, 2.0, 1.0]}, index=GENES)


@pytest.fixture
def obs():
    return pd.DataFrame({"batch": pd.Categorical(["x", "y", "x"])}, index=["1", "2", "3"])


@pytest.fixture
def counts():
    return np.array([[0.05, 2, 0, 3], [1, 0.2, 5, -1], [0, 0.1, 0, 0.0999]], dtype=np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_estimated_bytes_are_those_of_scipy(dtype, density):
    mat = (np.random.default_rng(0).random((40, 30)) < density).astype(dtype)
    csr = sparse.csr_matrix(mat)
    assert estimate_csr_nbytes(mat) == csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes


def test_sparse_only_when_smaller():
    mat = np.zeros((10, 10), dtype=np.float32)
    assert sparse.issparse(csr_when_smaller(mat))
    mat[:, :6] = 1
    assert csr_when_smaller(mat) is mat


def test_small_values_become_zero(counts, var, obs):
    adata = generate_h5ad(counts, var, obs)
    np.testing.assert_array_equal(
        _dense(adata.X), [[0, 2, 0, 3], [1, np.float32(0.2), 5, 0], [0, np.float32(0.1), 0, 0]]
    )
    assert not adata.layers
    np.testing.assert_array_equal(_dense(generate_h5ad(counts, var, obs, threshold=-np.inf).X), counts)


def test_scaling_is_undone_and_negative_values_are_clipped(counts, var, obs):
    uns = {"fixed_scaling": {"mean": "genes", "var": "genes"}, "other": 1}
    adata = generate_h5ad(counts, var, obs, threshold=-np.inf, uns=uns)
    expected = np.clip(counts * [1, 0.5, 2, 1] + [1, 2, 3, 0.5], 0, None)
    np.testing.assert_allclose(_dense(adata.X), expected, rtol=1e-6)
    assert dict(adata.uns) == {"other": 1}
    assert set(uns) == {"fixed_scaling", "other"}


def test_probabilities_draw_zeros_and_are_kept(counts, var, obs):
    probabilities = np.full_like(counts, 0.5)
    counts = counts + 2
    adata = generate_h5ad((counts, probabilities), var, obs, rng=np.random.default_rng(5))
    expected = draw_zeros(counts, probabilities, np.random.default_rng(5))
    np.testing.assert_array_equal(_dense(adata.X), expected)
    assert 0 < (expected == 0).sum() < expected.size
    np.testing.assert_array_equal(adata.layers["estimated_counts"], counts)
    np.testing.assert_array_equal(adata.layers["estimated_dropouts"], probabilities)
    again, other = (generate_h5ad((counts, probabilities), var, obs) for _ in range(2))
    np.testing.assert_array_equal(_dense(again.X), _dense(other.X))


def test_annotation_is_copied(counts, var, obs):
    adata = generate_h5ad(counts, var, obs)
    adata.obs["new"] = 1
    adata.var["new"] = 1
    assert list(obs) == ["batch"]
    assert "new" not in var


def test_further_arguments_reach_the_anndata(counts, var, obs):
    raw = anndata.AnnData(counts, obs=obs[[]], var=var[[]])
    layers = {"mine": counts}
    latent = np.ones((3, 2))
    adata = generate_h5ad((counts, counts), var, obs, obsm={"X_DISCERN": latent}, layers=layers, raw=raw)
    np.testing.assert_array_equal(adata.obsm["X_DISCERN"], latent)
    np.testing.assert_array_equal(adata.raw.X, counts)
    # anndata 0.13 lists X among the layers, as None
    assert set(adata.layers) - {None} == {"mine", "estimated_counts", "estimated_dropouts"}
    assert set(layers) == {"mine"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(counts, var, obs, value):
    counts[1, 2] = value
    with pytest.raises(DataError, match="not finite"):
        generate_h5ad(counts, var, obs)


def test_the_file_holds_the_same(counts, var, obs, tmp_path):
    path = tmp_path / "new folder" / "out.h5ad"
    adata = generate_h5ad((counts, np.ones_like(counts)), var, obs, save_path=path, uns={"a": 1})
    read = anndata.read_h5ad(path)
    np.testing.assert_array_equal(_dense(read.X), _dense(adata.X))
    pd.testing.assert_frame_equal(read.obs, obs)
    pd.testing.assert_frame_equal(read.var, var)
    assert read.uns["a"] == 1
    assert [one.name for one in path.parent.iterdir()] == ["out.h5ad"]


def test_an_interrupted_file_is_absent_and_an_old_one_stays(counts, var, obs, tmp_path, monkeypatch):
    adata = anndata.AnnData(counts, obs=obs, var=var)
    write_h5ad(adata, tmp_path / "old.h5ad")
    before = (tmp_path / "old.h5ad").read_bytes()

    def half(self, filename, **kwargs):
        filename.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(anndata.AnnData, "write_h5ad", half)
    for name in ("old.h5ad", "new.h5ad"):
        with pytest.raises(OSError, match="disk full"):
            write_h5ad(adata, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["old.h5ad"]
    assert (tmp_path / "old.h5ad").read_bytes() == before


def _dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else matrix
