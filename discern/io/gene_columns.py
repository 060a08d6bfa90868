"""Columns of counts in the order of other data's genes, some of which may be absent."""

import numpy as np
from scipy import sparse

from discern.io.raw_counts import chosen_columns


def placed_columns(matrix: sparse.csr_matrix, columns: np.ndarray | None) -> sparse.csr_matrix:
    """Return the counts of some genes, (n_cells, n_genes), with sorted indices; the matrix itself for None.

    Args:
        matrix: (n_cells, n_columns).
        columns: The column of every gene, -1 where it has none and gets no count, int (n_genes,); none stands twice.
    """
    if columns is None or (columns >= 0).all():
        return chosen_columns(matrix, columns)
    genes = np.flatnonzero(columns >= 0)
    gene_of_column = np.full(matrix.shape[1], -1, dtype=matrix.indices.dtype)
    gene_of_column[columns[genes]] = genes
    gene = gene_of_column[matrix.indices]
    kept = gene >= 0
    n_kept_before = np.concatenate([[0], np.cumsum(kept)]).astype(matrix.indptr.dtype)
    placed = sparse.csr_matrix(
        (matrix.data[kept], gene[kept], n_kept_before[matrix.indptr]), shape=(matrix.shape[0], len(columns))
    )
    placed.sort_indices()
    return placed
