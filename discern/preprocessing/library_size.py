"""Library size: what a cell counts in total, and normalising every cell to the same total."""

from collections.abc import Iterable

import numpy as np
from scipy import sparse

from discern.preprocessing.row_chunks import with_values


def library_sizes(chunks: Iterable[sparse.csr_matrix]) -> np.ndarray:
    """Return the total count of every cell, float32 (n_cells,), summed in float64."""
    return np.concatenate([np.zeros(0, dtype=np.float32), *map(_row_sums, chunks)])


def normalise_library_size(
    counts: sparse.csr_matrix, library_size: np.ndarray, target: float | None
) -> sparse.csr_matrix:
    """Return counts · target / library_size, float32 (n_cells, n_genes); the index arrays are shared.

    Args:
        counts: Raw counts, (n_cells, n_genes).
        library_size: Total count of every cell, > 0, (n_cells,).
        target: The total every cell gets; None copies the counts.
    """
    values = counts.data.astype(np.float32)
    if target is not None:
        factor = np.float32(target) / library_size.astype(np.float32)
        values *= np.repeat(factor, np.diff(counts.indptr))
    return with_values(counts, values)


def _row_sums(chunk: sparse.csr_matrix) -> np.ndarray:
    rows = np.repeat(np.arange(chunk.shape[0]), np.diff(chunk.indptr))
    return np.bincount(rows, weights=chunk.data, minlength=chunk.shape[0]).astype(np.float32)
