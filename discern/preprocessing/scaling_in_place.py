"""Scaling the expression of an AnnData itself, as the published functions do.

Preprocessing does not use it: there X stays sparse and is scaled where a network reads.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import ArrayLike
from scipy import sparse

from discern.errors import DataError, ShapeError
from discern.preprocessing.gene_moments import gene_moments
from discern.preprocessing.row_chunks import row_chunks
from discern.scaling import GeneScaling, gene_scaling


def parse_mean_var(features: pd.DataFrame, scalings: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation that ``scalings`` describes, float32 (n_genes,) each.

    Args:
        features: Gene annotation (``adata.var``).
        scalings: ``mean`` and ``var``: ``"genes"`` or a number; optional ``add_to_mean``, ``add_to_var``. What is
            called ``var`` is a standard deviation.

    Raises:
        DataError: A column of ``features`` is missing, a key is unknown, or a standard deviation is not positive.
    """
    scaling = gene_scaling(features, scalings)
    return scaling.mean, scaling.std


def scale_by_params(adata: AnnData, scalings: Mapping[str, Any]) -> None:
    """Replace X by (X − mean) / standard deviation, dense float32.

    Args:
        adata: Log expression, (n_cells, n_genes); changed.
        scalings: See :func:`parse_mean_var`.
    """
    adata.X = gene_scaling(adata.var, scalings).scale(_dense(adata))


def rescale_by_params(adata: AnnData, scalings: Mapping[str, Any]) -> None:
    """Undo :func:`scale_by_params`; values below 0 become 0.

    Args:
        adata: Scaled expression, (n_cells, n_genes); changed.
        scalings: See :func:`parse_mean_var`.
    """
    adata.X = np.clip(gene_scaling(adata.var, scalings).unscale(_dense(adata)), 0.0, None)


def scale(adata: AnnData, mean: ArrayLike | None = None, var: ArrayLike | None = None) -> None:
    """Replace X by (X − mean) / standard deviation, dense float32.

    Args:
        adata: Expression, (n_cells, n_genes); changed.
        mean: Per gene or one number; the mean over the cells when None.
        var: Standard deviation per gene or one number; that over the cells, at least 1e-8, when None.

    Raises:
        ShapeError: There is not one number per gene.
        DataError: A standard deviation is not positive, or a number is not finite.
    """
    if mean is None or var is None:
        moments = gene_moments(row_chunks(sparse.csr_matrix(adata.X)), adata.n_vars)
        mean = moments.mean if mean is None else mean
        var = moments.deviation if var is None else var
    scaling = GeneScaling(_per_gene(mean, "mean", adata.n_vars), _per_gene(var, "var", adata.n_vars))
    if not (scaling.std > 0).all():
        raise DataError("`var` is a standard deviation and must be greater than 0; remove genes that never vary.")
    adata.X = scaling.scale(_dense(adata))


def _per_gene(values: ArrayLike, name: str, n_genes: int) -> np.ndarray:
    array = np.asarray(values, dtype=np.float32)
    if array.shape not in {(), (1,), (n_genes,)}:
        raise ShapeError(f"`{name}` has shape {array.shape}; give one number, or one for each of {n_genes} genes.")
    if not np.isfinite(array).all():
        raise DataError(f"`{name}` holds values that are not finite.")
    return np.broadcast_to(array, (n_genes,))


def _dense(adata: AnnData) -> np.ndarray:
    return adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)
