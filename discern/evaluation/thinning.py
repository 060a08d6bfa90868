"""Thinning: taking counts away at random, so that what was taken is a truth to compare with."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from discern.keys import BATCH

HIDDEN = "hidden"


def thin_half_of_batch(
    cells: AnnData, batches: np.ndarray, target: str, name: str, keep: float, rng: np.random.Generator
) -> AnnData:
    """Return cells of which a random half of one batch is thinned and is a batch of its own.

    Args:
        cells: Raw counts in X, and the obs columns to keep.
        batches: The batch of every cell, (n_cells,).
        target: The batch to thin half of.
        name: The batch of the thinned cells.
        keep: Probability to keep a count.
        rng: Chooses cells and takes counts away.

    Returns:
        The counts that are left in X, ``obs["batch"]`` and, as ``layers["hidden"]``, what was taken away.
    """
    of_target = np.flatnonzero(batches == target)
    chosen = np.zeros(cells.n_obs, dtype=bool)
    chosen[rng.permutation(of_target)[: len(of_target) // 2]] = True
    left, taken = thin_cells(sparse.csr_matrix(cells.X).astype(np.float32), chosen, keep, rng)
    obs = cells.obs.assign(**{BATCH: pd.Categorical(np.where(chosen, name, batches))})
    return AnnData(left, obs=obs, var=pd.DataFrame(index=cells.var_names), layers={HIDDEN: taken})


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
