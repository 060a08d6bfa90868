import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from discern.errors import DataError
from discern.io.cell_store import store_inputs
from discern.io.processed_counts import open_processed_counts, require_counts
from discern.io.raw_input import RawInput
from discern.workers import ThisProcess

COUNTS = np.random.default_rng(0).poisson(0.5, (23, 7)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "processed.h5ad"


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_counts_are_those_of_the_layer_in_any_form(path, tmp_path, form):
    adata = anndata.AnnData(np.log1p(COUNTS), layers={"counts": form(COUNTS)})
    adata.write_h5ad(path)
    raw = RawInput(open_processed_counts(path), adata.obs, adata.var, path=path)
    store = store_inputs([raw], [np.arange(7)], tmp_path / "store", ThisProcess()).store
    np.testing.assert_array_equal(np.concatenate([piece.read().toarray() for piece in store.pieces]), COUNTS)


def test_data_without_counts_are_refused(path):
    anndata.AnnData(COUNTS).write_h5ad(path)
    with pytest.raises(DataError, match=r"processed\.h5ad holds no layer 'counts'"):
        open_processed_counts(path)


def test_what_is_no_matrix_is_refused(path):
    anndata.AnnData(COUNTS).write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["layers"].create_group("counts")
    with pytest.raises(DataError, match="is no matrix but unknown"):
        open_processed_counts(path)


def test_a_damaged_file_is_named(path):
    path.write_text("no HDF5")
    with pytest.raises(DataError, match=r"Cannot read .*processed\.h5ad"):
        open_processed_counts(path)


def test_missing_counts_are_refused():
    with pytest.raises(DataError, match="holds no layer 'counts'"):
        require_counts(None, "The data")


def test_counts_become_csr_with_sorted_indices():
    unsorted = sparse.csr_matrix((np.array([1.0, 2.0]), np.array([2, 0]), np.array([0, 2])), shape=(1, 3))
    for counts in (unsorted, unsorted.toarray(), unsorted.tocsc()):
        result = require_counts(counts, "The data")
        np.testing.assert_array_equal(result.indices, [0, 2])
        np.testing.assert_array_equal(result.data, [2.0, 1.0])
