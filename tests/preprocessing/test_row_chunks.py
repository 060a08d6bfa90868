import numpy as np
import pytest
from scipy import sparse

from discern.preprocessing.row_chunks import chosen_rows, expm1, log1p, row_chunks


@pytest.mark.parametrize(("max_cells", "max_values"), [(7, 10**6), (1000, 150), (1, 1), (1000, 10**6)])
def test_chunks_are_the_matrix(counts, max_cells, max_values):
    chunks = list(row_chunks(counts, max_cells, max_values))
    assert (sparse.vstack(chunks) != counts).nnz == 0
    assert all(chunk.shape[0] <= max_cells for chunk in chunks)
    assert all(chunk.nnz <= max_values or chunk.shape[0] == 1 for chunk in chunks)


def test_cells_without_counts_stay():
    matrix = sparse.csr_matrix(np.array([[0, 0], [1, 2], [0, 0], [0, 0]], dtype=np.float32))
    assert (sparse.vstack(list(row_chunks(matrix, 2, 1))).toarray() == matrix.toarray()).all()
    assert list(row_chunks(sparse.csr_matrix((0, 3), dtype=np.float32))) == []


def test_chosen_rows_keep_the_order_given(counts):
    cells = np.array([5, 80, 2, 33, 7])
    assert (sparse.vstack(list(chosen_rows(counts, cells, 2))).toarray() == counts.toarray()[cells]).all()


def test_logarithm_and_back(counts):
    logged = log1p(counts)
    np.testing.assert_allclose(logged.toarray(), np.log1p(counts.toarray()), rtol=1e-6)
    np.testing.assert_allclose(expm1(logged).toarray(), counts.toarray(), rtol=1e-5)
    assert np.shares_memory(logged.indices, counts.indices)
    assert not np.shares_memory(logged.data, counts.data)
