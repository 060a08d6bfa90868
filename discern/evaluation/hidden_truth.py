"""How well expression that was hidden is recovered: estimates against counts that were taken away."""

import numpy as np

_ROUNDING = 1e-6  # of a float32 mean over many values


def gene_correlations(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation over cells of every gene, (n_genes,); NaN for a gene that does not vary.

    Args:
        estimate: Estimated expression, (n_cells, n_genes).
        truth: Hidden expression, same shape.
    """
    return _correlations(estimate, truth, axis=0)


def cell_correlations(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation over genes of every cell, (n_cells,), after removing each gene's mean.

    Without removing the means, every cell correlates with every other: genes differ more than cells.

    Args:
        estimate: Estimated expression, (n_cells, n_genes).
        truth: Hidden expression, same shape.
    """
    return _correlations(_centred(estimate, axis=0), _centred(truth, axis=0), axis=1)


def squared_error(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean squared error over cells and genes; both are log expression of the same library size.

    Args:
        estimate: Estimated expression, (n_cells, n_genes).
        truth: Hidden expression, same shape.
    """
    return float(np.mean((estimate - truth) ** 2, dtype=np.float64))


def variance_ratio(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Return the median over genes of the estimate's variance over the truth's; NaN when no gene of the truth varies.

    Below 1 the estimate is smoother than what was hidden, which holds the noise of counting, too.

    Args:
        estimate: Estimated expression, (n_cells, n_genes).
        truth: Hidden expression, same shape.
    """
    variance = truth.var(axis=0, dtype=np.float64)
    varies = variance > 0
    if not varies.any():
        return float("nan")
    return float(np.median(estimate[:, varies].var(axis=0, dtype=np.float64) / variance[varies]))


def hidden_truth_scores(estimate: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return every measure of this group; genes and cells that do not vary are left out of the means.

    Args:
        estimate: Estimated log expression, (n_cells, n_genes).
        truth: Log expression of the counts that were taken away, same shape.
    """
    return {
        "gene_correlation": mean_of_finite(gene_correlations(estimate, truth)),
        "cell_correlation": mean_of_finite(cell_correlations(estimate, truth)),
        "squared_error": squared_error(estimate, truth),
        "variance_ratio": variance_ratio(estimate, truth),
    }


def mean_of_finite(values: np.ndarray) -> float:
    """Return the mean of the finite values, NaN when there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if len(finite) else float("nan")


def _centred(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the values minus their mean; what rounding of the mean leaves of equal values becomes 0."""
    mean = values.mean(axis=axis, keepdims=True, dtype=np.float64).astype(np.result_type(values, np.float32))
    centred = values - mean
    centred[np.abs(centred) <= _ROUNDING * np.abs(mean)] = 0.0
    return centred


def _correlations(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
    first, second = _centred(first, axis), _centred(second, axis)
    norms = np.sqrt((first**2).sum(axis=axis) * (second**2).sum(axis=axis))
    products = (first * second).sum(axis=axis)
    return np.divide(products, norms, out=np.full(products.shape, np.nan), where=norms > 0)
