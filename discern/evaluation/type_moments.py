"""Mean and variance of every gene in every cell type, and what differs between two types."""

from dataclasses import dataclass

import numpy as np

_ROUNDING = 1e-6  # of equal float32 values


@dataclass(frozen=True)
class TypeMoments:
    """Moments of the expression of each type.

    Attributes:
        mean: (n_types, n_genes); NaN for a type without cells.
        variance: Unbiased, same shape; NaN for a type with fewer than two cells.
        n_cells: Cells of each type, (n_types,).
    """

    mean: np.ndarray
    variance: np.ndarray
    n_cells: np.ndarray


def type_moments(expression: np.ndarray, types: np.ndarray, n_types: int) -> TypeMoments:
    """Return the moments of every type.

    Args:
        expression: Log expression, (n_cells, n_genes).
        types: Code of every cell's type, int (n_cells,); cells below 0 have none.
        n_types: Number of types.
    """
    shape = (n_types, expression.shape[1])
    mean, variance = np.full(shape, np.nan), np.full(shape, np.nan)
    n_cells = np.bincount(types[types >= 0], minlength=n_types)
    for one in np.flatnonzero(n_cells):
        cells = expression[types == one]
        mean[one] = cells.mean(axis=0, dtype=np.float64)
        if len(cells) > 1:
            found = cells.var(axis=0, ddof=1, dtype=np.float64)
            variance[one] = np.where(found > (_ROUNDING * mean[one]) ** 2, found, 0.0)
    return TypeMoments(mean, variance, n_cells)


def welch_t(
    mean_difference: np.ndarray, variances: tuple[np.ndarray, np.ndarray], n_cells: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return Welch's t statistic of every gene and its degrees of freedom; NaN where neither group varies.

    Args:
        mean_difference: Mean of the first group minus that of the second, (n_genes,).
        variances: Unbiased variances of both groups, (n_genes,) each.
        n_cells: Cells of both groups, at least two each.

    Source:
        Welch 1947, Biometrika 34:28.
    """
    first, second = (variance / n for variance, n in zip(variances, n_cells, strict=True))
    squared_error = first + second
    varies = squared_error > 0
    t = np.full(len(mean_difference), np.nan)
    np.divide(mean_difference, np.sqrt(squared_error), out=t, where=varies)
    freedom = np.full(len(mean_difference), np.nan)
    spread = first**2 / (n_cells[0] - 1) + second**2 / (n_cells[1] - 1)
    np.divide(squared_error**2, spread, out=freedom, where=varies & (spread > 0))
    return t, freedom


def share_that_differs(
    mean_difference: np.ndarray,
    variances: tuple[np.ndarray, np.ndarray],
    n_cells: tuple[int, int],
    rate: float = 0.05,
) -> float:
    """Return the share of genes that Welch's test calls different at a false discovery rate.

    A gene that varies in neither group is different when its means are.

    Args:
        mean_difference: Mean of the first group minus that of the second, (n_genes,).
        variances: Unbiased variances of both groups, (n_genes,) each.
        n_cells: Cells of both groups, at least two each.
        rate: False discovery rate.

    Source:
        Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57:289.
    """
    from scipy.stats import t as student

    t, freedom = welch_t(mean_difference, variances, n_cells)
    known = np.isfinite(t) & np.isfinite(freedom)
    certain = (variances[0] + variances[1] == 0) & (np.abs(mean_difference) > _ROUNDING)
    p = np.sort(np.concatenate([np.zeros(certain.sum()), 2 * student.sf(np.abs(t[known]), freedom[known])]))
    called = np.flatnonzero(p <= rate * np.arange(1, len(p) + 1) / max(len(p), 1))
    return float((called[-1] + 1) / len(t)) if len(called) else 0.0
