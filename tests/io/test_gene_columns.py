import numpy as np
import pytest
from scipy import sparse

from discern.io.gene_columns import placed_columns


@pytest.mark.parametrize("columns", [[3, 1, 0], [-1, 2, -1, 0], [-1, -1], [4, 3, 2, 1, 0, -1]])
def test_every_gene_gets_its_column_or_zeros(columns):
    dense = np.random.default_rng(0).poisson(0.7, (9, 5)).astype(np.float32)
    placed = placed_columns(sparse.csr_matrix(dense), np.array(columns))
    expected = np.zeros((9, len(columns)))
    for gene, column in enumerate(columns):
        for cell in range(9):
            expected[cell, gene] = dense[cell, column] if column >= 0 else 0
    np.testing.assert_array_equal(placed.toarray(), expected)
    assert placed.has_sorted_indices
    assert (placed.dtype, placed.indices.dtype, placed.indptr.dtype) == (np.float32, np.int32, np.int32)
    assert placed.data.all()


def test_all_columns_are_the_matrix_itself():
    matrix = sparse.csr_matrix(np.eye(3, dtype=np.float32))
    assert placed_columns(matrix, None) is matrix
