import h5py
import numpy as np
import pytest

from discern.errors import DataError
from discern.io import raw_counts
from discern.io.reading import read_raw_input


def test_starmap_with_attributes_of_one_column(data_dir):
    path = data_dir / "raw" / "loom_starmap" / "mpfc-starmap.loom"
    adata = read_raw_input(path)
    assert adata.shape == (3704, 158)
    with h5py.File(path) as file:
        assert np.array_equal(adata.X.toarray(), file["matrix"][:].T)
        assert np.array_equal(adata.obs["BatchID"], file["col_attrs/BatchID"][:, 0])
    assert adata.obs["BatchID"].nunique() == 3
    assert adata.var_names[:3].tolist() == ["acss1", "adcyap1", "adgrl2"]
    assert adata.obs["Clusters"].iloc[0] == "Smc"
    assert "Spatial_coordinates" not in adata.obs


@pytest.fixture
def loom(tmp_path):
    counts = np.random.default_rng(1).poisson(0.4, (7, 23))
    with h5py.File(tmp_path / "x.loom", "w") as file:
        file.create_dataset("matrix", data=counts, chunks=(4, 4))
        file["row_attrs/Gene"] = np.array([f"g&amp;{i}".encode() for i in range(7)])
        file["row_attrs/Length"] = np.arange(7)
        file["col_attrs/CellID"] = np.array([f"c{i}" for i in range(23)], dtype=h5py.string_dtype())
    return tmp_path / "x.loom", counts


@pytest.mark.parametrize("slab", [1, 7 * 8, 7 * 9, 2**24])
def test_slabs_of_any_size_give_the_same_matrix(loom, monkeypatch, slab):
    monkeypatch.setattr(raw_counts, "_SLAB_VALUES", slab)
    path, counts = loom
    adata = read_raw_input(path)
    assert np.array_equal(adata.X.toarray(), counts.T)
    assert adata.var_names[0] == "g&0"
    assert adata.var["Length"].tolist() == list(range(7))
    assert adata.obs_names[-1] == "c22"


def test_loom_without_genes_or_matrix_is_refused(loom):
    path, _ = loom
    with h5py.File(path, "r+") as file:
        del file["row_attrs/Gene"]
    with pytest.raises(DataError, match="no gene names. Row attributes: Length. Name one of them 'Gene'"):
        read_raw_input(path)
    with h5py.File(path, "r+") as file:
        del file["matrix"]
    with pytest.raises(DataError, match="is no loom file: /matrix is missing"):
        read_raw_input(path)
