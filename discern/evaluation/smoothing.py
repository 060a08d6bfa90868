"""Nearest-neighbour smoothing: the simplest way to fill in what shallow cells lack, as a baseline."""

import numpy as np


def smooth_over_neighbours(expression: np.ndarray, n_neighbours: int = 15, n_components: int = 20) -> np.ndarray:
    """Return the mean expression of every cell and its nearest neighbours.

    Neighbours are found by Euclidean distance between principal components.

    Args:
        expression: Log expression, (n_cells, n_genes).
        n_neighbours: Cells averaged, the cell itself included.
        n_components: Principal components used.
    """
    from sklearn.neighbors import NearestNeighbors

    centred = expression - expression.mean(axis=0)
    n_components = min(n_components, *expression.shape)
    left, singular_values, _ = np.linalg.svd(centred, full_matrices=False)
    components = left[:, :n_components] * singular_values[:n_components]
    n_neighbours = min(n_neighbours, len(expression))
    neighbours = (
        NearestNeighbors(n_neighbors=n_neighbours).fit(components).kneighbors(return_distance=False, X=components)
    )
    return expression[neighbours].mean(axis=1)
