"""Writing AnnData: whole files, compressed, sparse when that is smaller."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
from discern.io.checksums import seal
from discern.io.whole_files import replacing_file
from discern.io.zero_drawing import draw_zeros
from discern.keys import ESTIMATED_COUNTS, ESTIMATED_DROPOUTS, FIXED_SCALING
from discern.scaling import gene_scaling


def write_h5ad(adata: AnnData, path: Path) -> None:
    """Write a compressed, sealed h5ad under a temporary name, then rename it to ``path``."""
    with replacing_file(Path(path)) as temporary:
        adata.write_h5ad(temporary, compression="gzip", compression_opts=1)
        seal(temporary)


def estimate_csr_nbytes(mat: np.ndarray) -> int:
    """Return the bytes ``mat`` (n_cells, n_genes) would take as a CSR matrix."""
    non_zero = int(np.count_nonzero(mat))
    index = np.dtype(np.int32 if max(non_zero, mat.shape[1]) < np.iinfo(np.int32).max else np.int64).itemsize
    return non_zero * (mat.dtype.itemsize + index) + (mat.shape[0] + 1) * index


def csr_when_smaller(mat: np.ndarray) -> np.ndarray | sparse.csr_matrix:
    """Return ``mat`` as CSR when that takes less memory, else unchanged."""
    return sparse.csr_matrix(mat) if estimate_csr_nbytes(mat) < mat.nbytes else mat


def generate_h5ad(
    counts: np.ndarray | tuple[np.ndarray, np.ndarray],
    var: pd.DataFrame,
    obs: pd.DataFrame,
    save_path: Path | None = None,
    threshold: float = 0.1,
    *,
    rng: np.random.Generator | None = None,
    **kwargs: Any,
) -> AnnData:
    """Turn decoded expression into an AnnData, and write it when a path is given.

    When ``uns`` (in ``kwargs``) records a fixed scaling it is undone and negative values become 0.

    Args:
        counts: Decoded expression (n_cells, n_genes), or the pair (expression, P(count > 0)).
        var: Gene annotation.
        obs: Cell annotation.
        save_path: Where to write; nothing is written when None.
        threshold: Smaller values of X become 0.
        rng: Source of the draws; a generator seeded with 0 when absent.
        **kwargs: Further arguments of AnnData: uns, obsm, layers, raw, ...

    Returns:
        X is the expression after drawing zeros, CSR when smaller; with probabilities also the layers
        ``estimated_counts`` (before drawing) and ``estimated_dropouts``.
    """
    expression, probabilities = counts if isinstance(counts, tuple) else (counts, None)
    uns = copy.copy(kwargs.pop("uns", {}) or {})
    fixed = uns.pop(FIXED_SCALING, None)
    estimated = np.asarray(expression, dtype=np.float32)
    if fixed is not None:
        estimated = np.clip(gene_scaling(var, fixed).unscale(estimated), 0.0, None)
    layers = dict(kwargs.pop("layers", None) or {})
    values = estimated
    if probabilities is not None:
        values = draw_zeros(estimated, probabilities, np.random.default_rng(0) if rng is None else rng)
        layers |= {ESTIMATED_COUNTS: estimated, ESTIMATED_DROPOUTS: probabilities}
    values = np.where(values < threshold, np.float32(0.0), values)
    if not np.isfinite(values).all():
        raise DataError("The decoded expression holds values that are not finite; the model has diverged.")
    raw = kwargs.pop("raw", None)
    adata = AnnData(csr_when_smaller(values), obs=obs.copy(), var=var.copy(), uns=uns, layers=layers, **kwargs)
    if raw is not None:
        adata.raw = raw
    if save_path is not None:
        write_h5ad(adata, Path(save_path))
    return adata
