"""Nearest-neighbour smoothing: the simplest way to fill in what shallow cells lack, as a baseline."""

import numpy as np
from scipy import sparse

from discern.evaluation.component_space import leading_loadings


def smooth_over_neighbours(expression: np.ndarray, n_neighbours: int = 15, n_components: int = 20) -> np.ndarray:
    """Return the mean expression of every cell and its nearest neighbours.

    Neighbours are found by Euclidean distance between principal components.

    Args:
        expression: Log expression, (n_cells, n_genes).
        n_neighbours: Cells averaged, the cell itself included.
        n_components: Principal components used.
    """
    from sklearn.neighbors import NearestNeighbors

    n_cells = len(expression)
    centred = expression - expression.mean(axis=0)
    components = centred @ leading_loadings(centred, n_components)
    n_neighbours = min(n_neighbours, n_cells)
    neighbours = (
        NearestNeighbors(n_neighbors=n_neighbours).fit(components).kneighbors(return_distance=False, X=components)
    )
    weights = np.full(neighbours.size, 1 / n_neighbours, dtype=expression.dtype)
    starts = np.arange(0, neighbours.size + 1, n_neighbours)
    return sparse.csr_matrix((weights, neighbours.ravel(), starts), (n_cells, n_cells)) @ expression
