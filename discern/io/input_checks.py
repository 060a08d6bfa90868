"""Checks that an input holds raw counts, before anything is computed from it."""

import logging
from collections.abc import Callable

import numpy as np
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
from discern.io.raw_counts import find_values, to_csr

_LARGEST_LOGARITHM = 20.0
_CELLS_SAMPLED = 1000
_logger = logging.getLogger(__name__)


def holds_counts(matrix: sparse.csr_matrix) -> bool:
    """Tell whether every stored value is a whole number >= 0."""
    return find_values(matrix.data, lambda values: ~(_is_whole(values) & (values >= 0)))[0] == 0


def check_counts(adata: AnnData, name: str, allow_non_counts: bool = False) -> None:
    """Check that X holds raw counts; only the stored values are looked at.

    Args:
        adata: One input, X of shape (n_cells, n_genes).
        name: What messages call the input.
        allow_non_counts: Fractional values are a warning instead of an error.

    Raises:
        DataError: X holds values that are not finite, negative or, unless allowed, not whole.
    """
    matrix = to_csr(adata.X)
    _refuse(adata, matrix, name, "not finite (NaN or infinite)", lambda values: ~np.isfinite(values))
    _refuse(adata, matrix, name, "negative", lambda values: values < 0)
    fractional, first = find_values(matrix.data, lambda values: ~_is_whole(values))
    if fractional:
        message = (
            f"{name}: {fractional:,} of {matrix.nnz:,} values that are not zero are not whole numbers; the first is "
            f"{_place(adata, matrix, first)}. {_likely_transformation(matrix)}"
        )
        if not allow_non_counts:
            raise DataError(f"{message} Give the raw counts (in X or in layers['counts']).")
        _logger.warning("%s It is used as it is.", message)
    empty = int(np.count_nonzero(np.diff(matrix.indptr) == 0))
    if empty:
        _logger.warning("%s: %d of %d cells have no count; the filter removes them", name, empty, adata.n_obs)


def _refuse(
    adata: AnnData, matrix: sparse.csr_matrix, name: str, what: str, is_hit: Callable[[np.ndarray], np.ndarray]
) -> None:
    count, first = find_values(matrix.data, is_hit)
    if count:
        raise DataError(
            f"{name}: {count:,} values are {what}; the first is {_place(adata, matrix, first)}. "
            "Give the raw counts (in X or in layers['counts'])."
        )


def _place(adata: AnnData, matrix: sparse.csr_matrix, position: int) -> str:
    cell = int(np.searchsorted(matrix.indptr, position, side="right")) - 1
    gene = matrix.indices[position]
    return f"{matrix.data[position]:g} (cell {adata.obs_names[cell]}, gene {adata.var_names[gene]})"


def _likely_transformation(matrix: sparse.csr_matrix) -> str:
    """Return a sentence on what was probably done to counts that are not whole."""
    some = matrix[:_CELLS_SAMPLED].astype(np.float64)
    if matrix.data.max() < _LARGEST_LOGARITHM:
        total = _equal_row_sums(some.expm1())
        of_what = f" of counts normalised to {total:,.0f} per cell" if total else ""
        return f"They look log-transformed{of_what} (largest value {matrix.data.max():g})."
    total = _equal_row_sums(some)
    if total:
        return f"They look normalised: every cell sums to {total:,.0f}."
    return "They look neither log-transformed nor normalised to equal sums; were they corrected or imputed?"


def _equal_row_sums(matrix: sparse.csr_matrix) -> float:
    """Return the sum that all cells with counts share within 0.1 %, or 0."""
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    sums = sums[sums > 0]
    if len(sums) < 2 or np.ptp(sums) > 1e-3 * sums.max():
        return 0.0
    return float(np.median(sums))


def _is_whole(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values) & (values == np.rint(values))
