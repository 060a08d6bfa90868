"""The kernel width of the maximum mean discrepancy: how far apart neighbouring cells are."""

import logging

import numpy as np

from discern.errors import DataError, counted

log = logging.getLogger(__name__)


def kernel_width(points: np.ndarray, n_neighbors: int, n_jobs: int | None = None) -> float:
    """Return the squared median over cells of the mean distance to the nearest other cells.

    Args:
        points: Cells in the space of the principal components, (n_cells, n_components).
        n_neighbors: Number of nearest neighbours, the cell itself included: 50 means 49 other cells.
        n_jobs: CPUs to use; -1: all.

    Raises:
        DataError: There are fewer than two cells.
    """
    from sklearn.neighbors import NearestNeighbors  # needs more memory than all cells of most data sets

    if len(points) < 2:
        raise DataError(f"the MMD kernel is a distance between cells; received {len(points)} cell. Give more cells.")
    if n_neighbors > len(points):
        neighbours = counted(len(points) - 1, "neighbour")
        log.info("Only %d cells for the MMD kernel: using %s", len(points), neighbours)
        n_neighbors = len(points)
    search = NearestNeighbors(n_neighbors=n_neighbors, n_jobs=n_jobs).fit(points)
    distances = search.kneighbors(points)[0]
    return float(np.median(distances[:, 1:].mean(axis=1)) ** 2)
