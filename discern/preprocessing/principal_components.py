"""Principal components of scaled log expression, without ever holding all cells densely."""

from collections.abc import Iterable

import numpy as np
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from discern.errors import DataError


def loadings(gram: np.ndarray, genes: np.ndarray, n_components: int) -> np.ndarray:
    """Return the loadings of the leading components, float64 (n_genes, n_components), zero outside ``genes``.

    The components are the eigenvectors of the Gram matrix, which is exact; the largest absolute loading of each is
    positive.

    Args:
        gram: Of the genes used, from :func:`gram_matrix`, (n_used, n_used).
        genes: Mask of the genes used, (n_genes,).
        n_components: Number of components, at most the number of genes used.
    """
    result = np.zeros((len(genes), n_components))
    result[genes] = leading_eigenvectors(gram, n_components)
    return result


def gram_matrix(
    chunks: Iterable[sparse.csr_matrix], genes: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """Return ZᵀZ of the scaled expression Z = (x − mean) / std, float64 (n_used, n_used).

    Args:
        chunks: Log expression of consecutive cells, (any, n_genes) each.
        genes: Indices of the genes used, (n_used,).
        mean: Their means, (n_used,).
        std: Their standard deviations, > 0, (n_used,).
    """
    total = np.zeros((len(genes), len(genes)))
    with threadpool_limits(1, "blas"):  # the bits of a product depend on the number of threads
        for chunk in chunks:
            scaled = chunk[:, genes].toarray().astype(np.float64)
            scaled -= mean
            scaled /= std
            total += scaled.T @ scaled
    return total


def leading_eigenvectors(symmetric: np.ndarray, n_vectors: int) -> np.ndarray:
    """Return the eigenvectors of the largest eigenvalues, (n, n_vectors), in descending order.

    The sign is fixed: the entry of largest absolute value is positive.
    """
    size = len(symmetric)
    vectors = linalg.eigh(symmetric, subset_by_index=[size - n_vectors, size - 1])[1][:, ::-1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None, :], axis=0)
    return vectors * np.where(largest < 0, -1.0, 1.0)


def require_enough_for(n_components: int, n_cells: int, n_genes: int) -> None:
    """Refuse data with fewer cells or genes than components.

    Raises:
        DataError: There are too few cells or genes.
    """
    for found, what, remedy in (
        (n_genes, "genes", "Lower filtering.min_cells, or give inputs that share more genes"),
        (n_cells, "cells", "Lower filtering.min_genes, or give more cells"),
    ):
        if found < n_components:
            raise DataError(f"too few {what} ({found}) for {n_components} principal components. {remedy}.")


def coordinates(
    chunks: Iterable[sparse.csr_matrix], loadings: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """Return the scaled expression in the space of the components, float32 (n_cells, n_components).

    Args:
        chunks: Log expression of consecutive cells, (any, n_genes) each.
        loadings: (n_genes, n_components).
        mean: Mean of every gene, (n_genes,).
        std: Standard deviation of every gene, > 0, (n_genes,).
    """
    projection = np.ascontiguousarray(loadings / std[:, None])
    offset = mean @ projection
    pieces = [(chunk @ projection - offset).astype(np.float32) for chunk in chunks]
    return np.concatenate([np.zeros((0, loadings.shape[1]), dtype=np.float32), *pieces])
