"""How well expression that was hidden is recovered."""

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


def _centred(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the values minus their mean; what rounding of the mean leaves of equal values becomes 0."""
    mean = values.mean(axis=axis, keepdims=True)
    centred = values - mean
    centred[np.abs(centred) <= _ROUNDING * np.abs(mean)] = 0.0
    return centred


def _correlations(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
    first, second = _centred(first, axis), _centred(second, axis)
    norms = np.sqrt((first**2).sum(axis=axis) * (second**2).sum(axis=axis))
    products = (first * second).sum(axis=axis)
    return np.divide(products, norms, out=np.full(products.shape, np.nan), where=norms > 0)
