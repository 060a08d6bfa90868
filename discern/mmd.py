"""Kernel maximum mean discrepancy between two sets of cells."""

from collections.abc import Iterator

import numpy as np

from discern.errors import DataError, ShapeError

SCALES = np.linspace(0.8, 1.5, 23)
_BLOCK_ENTRIES = 2**22


def mmd_loss(random_cells: np.ndarray, valid_cells: np.ndarray, sigma: float) -> float:
    """Return the largest unbiased MMD² over 23 widths around ``sigma``.

    The kernel is exp(−distance² / (2 · sigma · scale)) with scales from 0.8 to 1.5; ``sigma`` is a squared width. For
    each scale the value is mean k(x, x') + mean k(y, y') − 2 · mean k(x, y), a point never being paired with itself:
    it may be slightly negative. Memory does not grow with the number of cells: rows are taken in blocks.

    Args:
        random_cells: One set, (n_cells, n_components), at least two rows.
        valid_cells: The other set, (n_other_cells, n_components), at least two rows.
        sigma: Squared kernel width, > 0 (``config["mmd_kernel"]["all"]``).

    Raises:
        ShapeError: A set has fewer than two rows, or the columns differ.
        DataError: ``sigma`` is not positive, or a set holds values that are not finite.

    Source:
        Gretton et al. 2012, Journal of Machine Learning Research 13:723.
    """
    x, y = _as_cells(random_cells, "random_cells"), _as_cells(valid_cells, "valid_cells")
    if x.shape[1] != y.shape[1]:
        raise ShapeError(f"mmd_loss needs the same components in both sets, received {x.shape} and {y.shape}.")
    if not (np.isfinite(sigma) and sigma > 0):
        raise DataError(f"mmd_loss needs a kernel width sigma > 0, received {sigma}. Recompute the MMD kernel.")
    factors = (-1.0 / (2.0 * float(sigma) * SCALES)).astype(np.float32)
    between = _kernel_sums(_blocks(x, y), factors) / (len(x) * len(y))
    return float(np.max(_mean_within(x, factors) + _mean_within(y, factors) - 2.0 * between))


def _as_cells(cells: np.ndarray, name: str) -> np.ndarray:
    cells = np.asarray(cells, dtype=np.float64)
    if cells.ndim != 2 or len(cells) < 2:
        raise ShapeError(f"mmd_loss needs {name} as (n_cells, n_components) with two cells or more, got {cells.shape}.")
    if not np.isfinite(cells).all():
        raise DataError(f"{name} holds values that are not finite.")
    return cells


def _mean_within(cells: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the mean kernel over pairs of different rows, for each factor."""
    n = len(cells)
    step = _rows_per_block(n)
    sums = np.zeros(len(factors))
    for start in range(0, n, step):  # the part right of the diagonal counts for the part below it too
        rows, rest = cells[start : start + step], cells[start + step :]
        sums += _kernel_sums(_blocks(rows, rows), factors) - len(rows)
        sums += 2.0 * _kernel_sums(_blocks(rows, rest), factors)
    return sums / (n * (n - 1))


def _kernel_sums(distances: Iterator[np.ndarray], factors: np.ndarray) -> np.ndarray:
    """Return Σ exp(factor · distance²) over all blocks, for each factor."""
    sums = np.zeros(len(factors))
    for block in distances:
        values = np.empty_like(block)
        for index, factor in enumerate(factors):
            np.multiply(block, factor, out=values)
            np.exp(values, out=values)
            sums[index] += values.sum(axis=1).sum(dtype=np.float64)
    return sums


def _blocks(x: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
    """Yield squared distances of rows of ``x`` to all of ``y``, float32, (at most 4 million entries)."""
    norms = np.einsum("ij,ij->i", y, y)
    step = _rows_per_block(len(y))
    for start in range(0, len(x), step):
        rows = x[start : start + step]
        distances = rows @ y.T
        distances *= -2.0
        distances += np.einsum("ij,ij->i", rows, rows)[:, None] + norms
        yield np.maximum(distances, 0.0).astype(np.float32)


def _rows_per_block(n_columns: int) -> int:
    return max(1, _BLOCK_ENTRIES // max(n_columns, 1))
