"""Thinning: taking counts away at random, so that what was taken is a truth to compare with."""

import numpy as np
from scipy import sparse


def thin_cells(
    counts: sparse.csr_matrix, chosen: np.ndarray, keep: float, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Keep every count of the chosen cells with a probability.

    Args:
        counts: Raw counts, whole numbers, (n_cells, n_genes); stays as it is.
        chosen: Cells to thin, bool (n_cells,).
        keep: Probability to keep a count.
        rng: Takes counts away.

    Returns:
        What is left, and what was taken away, (n_cells, n_genes) each; their sum are the counts.
    """
    of_chosen = np.repeat(chosen, np.diff(counts.indptr))
    left = counts.copy()
    left.data[of_chosen] = rng.binomial(counts.data[of_chosen].astype(np.int64), keep)
    taken = sparse.csr_matrix((counts.data - left.data, counts.indices.copy(), counts.indptr.copy()), counts.shape)
    left.eliminate_zeros()
    taken.eliminate_zeros()
    return left, taken
