"""The demonstration's data: real blood cells, half of them thinned to a shallow batch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
from discern.evaluation.thinning import thin_cells
from discern.keys import BATCH, CELLTYPE

DEEP = "deep"
SHALLOW = "shallow"
_LARGEST_ROUNDING = 0.25  # expression is stored with three decimals


@dataclass(frozen=True)
class DemoData:
    """Cells as the program sees them, and what it does not see.

    Attributes:
        observed: Raw counts; obs has batch (deep or shallow) and celltype.
        hidden: The counts taken away from the shallow cells, (n_shallow, n_genes), in the order of ``observed``.
    """

    observed: AnnData
    hidden: sparse.csr_matrix


def blood_cells() -> AnnData:
    """Return 700 blood cells × 765 genes as integer counts, with cell types; they ship inside scanpy."""
    import scanpy

    reduced = scanpy.datasets.pbmc68k_reduced()
    expression = np.expm1(sparse.csr_matrix(reduced.raw.X).toarray())
    one_count = np.min(expression, axis=1, where=expression > 0, initial=np.inf, keepdims=True)
    counts = expression / one_count
    whole = np.rint(counts)
    if np.abs(counts - whole).max() > _LARGEST_ROUNDING:
        raise DataError("scanpy's pbmc68k_reduced has changed: its expression no longer gives whole counts.")
    obs = pd.DataFrame({CELLTYPE: reduced.obs["bulk_labels"].astype(str).astype("category")})
    var = pd.DataFrame(index=reduced.raw.var_names)
    return AnnData(sparse.csr_matrix(whole.astype(np.float32)), obs=obs, var=var)


def thin_half(cells: AnnData, keep: float = 0.2, seed: int = 0) -> DemoData:
    """Make a random half of the cells shallow: every count is kept with probability ``keep``.

    Args:
        cells: Raw counts.
        keep: Probability to keep a count.
        seed: Drives which cells and which counts.
    """
    rng = np.random.default_rng(seed)
    shallow = np.zeros(cells.n_obs, dtype=bool)
    shallow[rng.permutation(cells.n_obs)[: cells.n_obs // 2]] = True
    left, taken = thin_cells(sparse.csr_matrix(cells.X), shallow, keep, rng)
    obs = cells.obs.copy()
    obs[BATCH] = pd.Categorical(np.where(shallow, SHALLOW, DEEP))
    return DemoData(AnnData(left, obs=obs, var=cells.var.copy()), taken[shallow])
