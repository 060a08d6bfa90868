"""Pieces of a sparse matrix, so that no step needs memory that grows with the number of cells."""

from collections.abc import Iterator

import numpy as np
from scipy import sparse

MAX_CELLS = 1024
MAX_VALUES = 2**19


def row_chunks(
    matrix: sparse.csr_matrix, max_cells: int = MAX_CELLS, max_values: int = MAX_VALUES
) -> Iterator[sparse.csr_matrix]:
    """Yield consecutive cells.

    Args:
        matrix: (n_cells, n_genes).
        max_cells: The most cells of a chunk.
        max_values: The most stored values of a chunk (one cell may exceed it).

    Yields:
        (at most max_cells, n_genes); not to be changed, as memory may be shared with ``matrix``.
    """
    n_cells, n_genes = matrix.shape
    start = 0
    while start < n_cells:
        first = matrix.indptr[start]
        full = int(np.searchsorted(matrix.indptr, int(first) + max_values, side="right")) - 1
        stop = min(start + max_cells, max(start + 1, full), n_cells)
        values = slice(first, matrix.indptr[stop])
        yield sparse.csr_matrix(
            (matrix.data[values], matrix.indices[values], matrix.indptr[start : stop + 1] - first),
            shape=(stop - start, n_genes),
        )
        start = stop


def chosen_rows(
    matrix: sparse.csr_matrix, cells: np.ndarray, max_cells: int = MAX_CELLS
) -> Iterator[sparse.csr_matrix]:
    """Yield copies of the chosen cells in the given order, (at most max_cells, n_genes) each."""
    return (matrix[cells[start : start + max_cells]] for start in range(0, len(cells), max_cells))


def with_values(matrix: sparse.csr_matrix, values: np.ndarray) -> sparse.csr_matrix:
    """Return a matrix with other values at the same places; the index arrays are shared."""
    return sparse.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def log1p(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return log(1 + x), (n_cells, n_genes); the index arrays are shared."""
    return with_values(matrix, np.log1p(matrix.data))


def expm1(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return exp(x) − 1, (n_cells, n_genes); the index arrays are shared."""
    return with_values(matrix, np.expm1(matrix.data))
