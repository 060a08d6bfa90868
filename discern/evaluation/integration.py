"""The integration guard rail: do batches mix, and do cell types stay apart? Most are computed by scib-metrics, an extra."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from discern.errors import OptionalDependencyError

_N_NEIGHBOURS = 90
_N_GRAPH_NEIGHBOURS = 15
_SIZES = (150, 100, 50, 20)  # few different ones: what scib-metrics runs is compiled for every size anew
_WITHOUT_TYPES = 1500


def balanced_cells(types: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Choose as many cells of every type from both sides, so that other shares of types do not look like a batch.

    Args:
        types: Codes of the types of one side, int (n_cells,); below 0: no type.
        others: The same of the other side, (n_other_cells,).
        rng: Chooses the cells.

    Returns:
        Positions of the cells chosen on both sides. Without any type: random cells.
    """
    if (types < 0).all() or (others < 0).all():
        size = min(len(types), len(others), _WITHOUT_TYPES)
        return _chosen(np.arange(len(types)), size, rng), _chosen(np.arange(len(others)), size, rng)
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for one in np.unique(types[types >= 0]):
        cells = [np.flatnonzero(side == one) for side in (types, others)]
        size = next((size for size in _SIZES if size <= min(map(len, cells))), 0)
        for chosen, positions in zip(found, cells, strict=True):
            chosen.append(_chosen(positions, size, rng))
    first, second = (np.concatenate(chosen).astype(np.int64) for chosen in found)
    return first, second


def _chosen(positions: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.choice(positions, size, replace=False))


def integration_scores(
    points: np.ndarray, batches: np.ndarray, types: np.ndarray, seed: int = 0, with_kbet: bool = True
) -> dict[str, float]:
    """Return the measures of one embedding; without types, those that need none.

    Whether batches are apart is judged by distances to cells of all other batches (BRAS). The silhouette of Luecken et al.
    looks at the nearest other batch only, and so sees nothing where batches mix in pairs that lie apart. Distances are
    Euclidean, as everywhere here: cosines depend on where the origin of an embedding is.

    Args:
        points: Cells in the embedding, (n_cells, n_dimensions).
        batches: Codes of their batches, int (n_cells,).
        types: Codes of their types, int (n_cells,); all below 0 when there are none.
        seed: Drives k-means.
        with_kbet: Compute kBET too, which is compiled anew for every size of a connected part of the graph.

    Raises:
        OptionalDependencyError: scib-metrics is not installed.

    Source:
        Luecken et al. 2022, Nature Methods 19:41; Rautenstrauch and Ohler 2025, Nature Biotechnology.
    """
    scib = _scib_metrics()
    points = np.ascontiguousarray(points, dtype=np.float32)
    neighbours = _neighbours(points)
    scores: dict[str, Callable[[], Any]] = {"ilisi": lambda: scib.ilisi_knn(neighbours, batches)}
    n_types = len(np.unique(types))
    if (types >= 0).all() and n_types > 1:
        scores |= {
            "silhouette_types": lambda: scib.silhouette_label(points, types),
            "bras": lambda: scib.bras(points, types, batches, metric="euclidean"),
            "clisi": lambda: scib.clisi_knn(neighbours, types),
            "graph_connectivity": lambda: graph_connectivity(neighbours.indices[:, :_N_GRAPH_NEIGHBOURS], types),
        }
        if with_kbet:
            scores["kbet"] = lambda: scib.kbet_per_label(neighbours, batches, types)
    found = {name: float(score()) for name, score in scores.items()}
    return found | (_clusters(points, types, n_types, seed) if len(found) > 1 else {})


def graph_connectivity(neighbours: np.ndarray, types: np.ndarray) -> float:
    """Return the mean over types of the share of cells in the largest connected part of the type's graph.

    Two cells are joined when one is a neighbour of the other, as in the graph that scanpy makes. scib-metrics asks for
    paths in both directions instead. It so counts every cell that is nobody's neighbour as cut off, which in a mixture
    of noisy cells and of estimates without their noise are most of the noisy ones, however well the two mix.

    Args:
        neighbours: Positions of the nearest cells, (n_cells, n_neighbours); the cell itself may be among them.
        types: Codes of the types, int (n_cells,).

    Source:
        Luecken et al. 2022, Nature Methods 19:41.
    """
    n_cells, n_neighbours = neighbours.shape
    of = np.repeat(np.arange(n_cells), n_neighbours)
    graph = sparse.csr_matrix((np.ones(of.size, dtype=bool), (of, neighbours.ravel())), shape=(n_cells, n_cells))
    shares = []
    for one in np.unique(types):
        cells = np.flatnonzero(types == one)
        parts = connected_components(graph[cells][:, cells], directed=False)[1]
        shares.append(np.bincount(parts).max() / cells.size)
    return float(np.mean(shares))


def _clusters(points: np.ndarray, types: np.ndarray, n_types: int, seed: int) -> dict[str, float]:
    """Return how clusters found by k-means, as many as types, agree with these."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    clusters = KMeans(n_types, n_init=10, random_state=seed).fit_predict(points)
    return {
        "ari": float(adjusted_rand_score(types, clusters)),
        "nmi": float(normalized_mutual_info_score(types, clusters)),
    }


def _neighbours(points: np.ndarray) -> Any:
    from scib_metrics.nearest_neighbors import NeighborsResults
    from sklearn.neighbors import NearestNeighbors

    n_neighbours = min(_N_NEIGHBOURS, len(points))
    distances, indices = NearestNeighbors(n_neighbors=n_neighbours).fit(points).kneighbors(points)
    return NeighborsResults(indices=indices, distances=distances)


def _scib_metrics() -> Any:
    try:
        import scib_metrics
    except ImportError as error:
        raise OptionalDependencyError(
            "Measures of integration need the package scib-metrics: pip install 'discern-reconstruction[evaluation]'."
        ) from error
    return scib_metrics
