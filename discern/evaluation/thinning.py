"""Thinning: taking counts away at random, so that what was taken is a truth to compare with."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
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

    Raises:
        DataError: A count of the thinned cells is no whole number.
    """
    of_target = np.flatnonzero(batches == target)
    chosen = np.zeros(cells.n_obs, dtype=bool)
    chosen[rng.permutation(of_target)[: len(of_target) // 2]] = True
    counts = sparse.csr_matrix(cells.X).astype(np.float32, copy=False)
    left, taken = thin_cells(counts, chosen, keep, rng)
    obs = cells.obs.assign(**{BATCH: pd.Categorical(np.where(chosen, name, batches))})
    return AnnData(left, obs=obs, var=pd.DataFrame(index=cells.var_names), layers={HIDDEN: taken})


def thin_cells(
    counts: sparse.csr_matrix, chosen: np.ndarray, keep: float, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Keep every count of the chosen cells with a probability.

    Args:
        counts: Raw counts, (n_cells, n_genes); stays as it is. Those of the chosen cells are whole numbers.
        chosen: Cells to thin, bool (n_cells,).
        keep: Probability to keep a count.
        rng: Takes counts away.

    Returns:
        What is left, and what was taken away, (n_cells, n_genes) each; their sum are the counts.

    Raises:
        DataError: A count of the chosen cells is no whole number.
    """
    sizes = np.diff(counts.indptr)
    of_chosen = np.repeat(chosen, sizes)
    before = counts.data[of_chosen]
    _require_counts(before)
    left = counts.copy()
    left.data[of_chosen] = rng.binomial(before.astype(np.int64), keep)
    starts = np.concatenate([[0], np.cumsum(np.where(chosen, sizes, 0))])
    taken = sparse.csr_matrix((before - left.data[of_chosen], counts.indices[of_chosen], starts), counts.shape)
    left.eliminate_zeros()
    taken.eliminate_zeros()
    return left, taken


def _require_counts(values: np.ndarray) -> None:
    whole = np.isfinite(values) & (values >= 0) & (values == np.floor(values))
    if not whole.all():
        raise DataError(
            f"{int((~whole).sum())} of the {len(values)} values to thin are no counts: received {values[~whole][0]:.6g}. "
            "--thin takes single counts away, so it needs whole numbers. Process raw counts, or evaluate without --thin."
        )
