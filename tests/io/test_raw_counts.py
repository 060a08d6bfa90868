import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.io import raw_counts
from discern.io.raw_counts import dense_to_csr, find_values, protein_table, to_csr

DENSE = np.array([[0, 2, 5], [0, 0, 0], [7, 0, 1]])


def unsorted(dtype, container):
    data, indices, indptr = np.array([5, 2, 0, 7, 1], dtype), np.array([2, 1, 0, 0, 2]), np.array([0, 2, 3, 5])
    return container((data, indices, indptr), shape=(3, 3))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array])
def test_unsorted_matrices_are_mended_without_touching_them(dtype, container):
    source = unsorted(dtype, container)
    result = to_csr(source)
    assert np.array_equal(result.toarray(), DENSE)
    assert isinstance(result, sparse.csr_matrix)
    assert result.has_canonical_format
    assert result.nnz == 4
    assert result.dtype == np.float32
    assert source.indices.tolist() == [2, 1, 0, 0, 2]
    assert source.data.tolist() == [5, 2, 0, 7, 1]


@pytest.mark.parametrize("container", [sparse.coo_matrix, sparse.csc_matrix, sparse.lil_matrix, np.asarray])
def test_other_forms(container):
    assert np.array_equal(to_csr(container(DENSE)).toarray(), DENSE)


def test_a_matrix_of_the_right_form_is_not_copied():
    source = sparse.csr_matrix(DENSE.astype(np.float32))
    assert np.shares_memory(to_csr(source).data, source.data)


@pytest.mark.parametrize("slab", [1, 6, 100])
def test_dense_slabs(monkeypatch, slab):
    monkeypatch.setattr(raw_counts, "_SLAB_VALUES", slab)
    assert np.array_equal(dense_to_csr(DENSE).toarray(), DENSE)
    assert dense_to_csr(np.zeros((0, 4))).shape == (0, 4)


def test_find_values_over_slabs(monkeypatch):
    monkeypatch.setattr(raw_counts, "_SLAB_VALUES", 12)
    values = np.array([1, 2, 3, 4, -1, 6, -2, -3])
    assert find_values(values, lambda part: part < 0) == (3, 4)
    assert find_values(values, lambda part: part > 9) == (0, -1)


def test_protein_table_of_an_array_numbers_its_columns():
    table = protein_table(sparse.csr_matrix(DENSE), pd.Index(list("abc")))
    assert table.columns.tolist() == ["protein_0", "protein_1", "protein_2"]
    assert np.array_equal(table, DENSE)
    assert table.index.tolist() == list("abc")
