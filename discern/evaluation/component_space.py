"""Leading principal components of log expression: the space in which distances between cells are taken."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import eigsh

N_COMPONENTS = 32
_KERNEL_NEIGHBOURS = 50
_SMALL = 400  # a whole decomposition takes no time
_ROUNDING = 1e-4  # of the longest loading; what is shorter in float32 is made of others


@dataclass(frozen=True)
class ComponentSpace:
    """Components fitted to real cells of the target batch.

    Attributes:
        mean: Mean expression, (n_genes,).
        loadings: Orthonormal, (n_genes, n_components); 0 where cells vary in fewer directions.
        kernel_width: Squared width of the MMD kernel, from distances between neighbouring real cells.
    """

    mean: np.ndarray
    loadings: np.ndarray
    kernel_width: float

    def points(self, expression: np.ndarray) -> np.ndarray:
        """Return the coordinates of cells, float32 (n_cells, n_components).

        Args:
            expression: Log expression, (n_cells, n_genes).
        """
        return (expression @ self.loadings - self.mean @ self.loadings).astype(np.float32)


def fit_space(expression: np.ndarray, n_components: int = N_COMPONENTS) -> ComponentSpace:
    """Return the components of real cells.

    Args:
        expression: Their log expression, (n_cells, n_genes), two cells or more.
        n_components: Components wanted; fewer where there are fewer cells or genes.
    """
    from discern.preprocessing.mmd_kernel import kernel_width

    mean = expression.mean(axis=0)
    centred = expression - mean
    loadings = leading_loadings(centred, n_components)
    return ComponentSpace(mean, loadings, kernel_width(centred @ loadings, _KERNEL_NEIGHBOURS))


def leading_loadings(centred: np.ndarray, n_components: int) -> np.ndarray:
    """Return the loadings of the leading principal components, (n_genes, n_components or fewer).

    Components that the cells do not vary along are 0.

    Args:
        centred: Expression without the means of genes, (n_cells, n_genes).
        n_components: Components wanted.
    """
    if centred.shape[0] >= centred.shape[1]:
        return _leading_eigenvectors(centred.T @ centred, n_components)
    loadings = centred.T @ _leading_eigenvectors(centred @ centred.T, n_components)
    lengths = np.linalg.norm(loadings, axis=0)
    varies = lengths > _ROUNDING * lengths.max(initial=0.0)
    return np.where(varies, loadings, 0.0) / np.where(varies, lengths, 1)


def _leading_eigenvectors(gram: np.ndarray, n_vectors: int) -> np.ndarray:
    """Return the vectors of the largest eigenvalues in descending order, (n, n_vectors or fewer)."""
    size = len(gram)
    if not gram.any():
        return np.zeros((size, min(n_vectors, size)), gram.dtype)  # eigsh takes none
    if size <= max(_SMALL, n_vectors):
        values, vectors = linalg.eigh(gram, subset_by_index=[size - min(n_vectors, size), size - 1])
    else:
        start = np.random.default_rng(0).normal(size=size).astype(gram.dtype)
        values, vectors = eigsh(gram, n_vectors, v0=start)
    return vectors[:, np.argsort(-values, kind="stable")]
