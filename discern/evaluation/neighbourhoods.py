"""What the nearest neighbours of cells are: of their own type, and of their own batch."""

from dataclasses import dataclass

import numpy as np

N_NEIGHBOURS = 15


@dataclass(frozen=True)
class Neighbourhood:
    """Shares of the 15 nearest neighbours, as means over cells; NaN where there is nothing to tell.

    Attributes:
        own_type: Neighbours of the cell's own type, among cells with a type.
        own_batch: Neighbours of the cell's own batch, among cells of the cell's own type.
        own_batch_if_mixed: What ``own_batch`` would be if the cells of a type lay at random.
    """

    own_type: float
    own_batch: float
    own_batch_if_mixed: float

    @property
    def apart(self) -> float:
        """How far batches stay apart: 0 at random, 1 when all neighbours are of the own batch."""
        room = 1 - self.own_batch_if_mixed
        return (self.own_batch - self.own_batch_if_mixed) / room if room > 0 else float("nan")


def neighbourhood(points: np.ndarray, batches: np.ndarray, types: np.ndarray) -> Neighbourhood:
    """Look at the neighbours of every cell.

    Args:
        points: Cells in an embedding, (n_cells, n_dimensions).
        batches: Codes of their batches, int (n_cells,).
        types: Codes of their types, int (n_cells,); below 0: no type. Without any, all are of one.
    """
    own_type = float("nan")
    if (types >= 0).any():
        known = types >= 0
        points, batches, types = points[known], batches[known], types[known]
        own_type = float((types[_neighbours(points)] == types[:, None]).mean()) if len(points) > 1 else own_type
    else:
        types = np.zeros(len(points), dtype=np.int64)
    shares, by_chance = [], []
    for one in np.unique(types):
        cells = types == one
        own = batches[cells]
        if len(own) < 2:
            continue
        shares.append((own[_neighbours(points[cells])] == own[:, None]).mean(axis=1))
        by_chance.append((np.bincount(own)[own] - 1) / (len(own) - 1))
    if not shares:
        return Neighbourhood(own_type, float("nan"), float("nan"))
    return Neighbourhood(own_type, float(np.concatenate(shares).mean()), float(np.concatenate(by_chance).mean()))


def _neighbours(points: np.ndarray) -> np.ndarray:
    """Return the positions of the nearest other cells, (n_cells, 15 or fewer)."""
    from sklearn.neighbors import NearestNeighbors

    n_neighbours = min(N_NEIGHBOURS, len(points) - 1)
    return NearestNeighbors(n_neighbors=n_neighbours).fit(points).kneighbors(return_distance=False)
