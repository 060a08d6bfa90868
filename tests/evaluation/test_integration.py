import sys
from importlib.util import find_spec

import numpy as np
import pytest
import scanpy
from anndata import AnnData
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from discern.errors import OptionalDependencyError
from discern.evaluation.integration import balanced_cells, graph_connectivity, integration_scores
from discern.evaluation.measures import EMBEDDING_MEASURES

needs_scib = pytest.mark.skipif(find_spec("scib_metrics") is None, reason="scib-metrics is not installed")


def cells(shift, n_cells=40, n_types=3, seed=0):
    """Cells of types that lie apart, in two batches; the second is moved."""
    rng = np.random.default_rng(seed)
    types = np.tile(np.arange(n_cells) % n_types, 2)
    batches = np.repeat([0, 1], n_cells)
    points = 12 * np.eye(n_types, 5)[types] + rng.normal(size=(2 * n_cells, 5))
    points[:, 4] += shift * batches
    return points, batches, types


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scib_metrics", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'discern-reconstruction\[evaluation\]'"):
        integration_scores(*cells(0.0))


@needs_scib
def test_without_types_batches_are_judged_alone():
    points, batches, types = cells(0.0)
    mixed = integration_scores(points, batches, np.full_like(types, -1))
    apart = integration_scores(cells(50.0)[0], batches, np.full_like(types, -1))
    assert list(mixed) == list(apart) == ["ilisi"]
    assert mixed["ilisi"] > 0.9
    assert apart["ilisi"] < 0.4


@needs_scib
@pytest.mark.slow
def test_all_measures_of_known_embeddings():
    points, batches, types = cells(0.0, n_cells=120)
    mixed = integration_scores(points, batches, types)
    assert sorted(mixed) == sorted(EMBEDDING_MEASURES)
    assert min(mixed[name] for name in ("ari", "nmi", "clisi", "graph_connectivity")) > 0.99
    assert min(mixed[name] for name in ("ilisi", "kbet", "bras")) > 0.8
    apart = integration_scores(cells(50.0, n_cells=120)[0], batches, types)
    assert max(apart[name] for name in ("ilisi", "kbet")) < 0.1
    assert apart["bras"] < 0.3
    shuffled = np.random.default_rng(0).permutation(types)
    blended = integration_scores(points, batches, shuffled, with_kbet=False)
    assert sorted([*blended, "kbet"]) == sorted(EMBEDDING_MEASURES)
    assert max(blended[name] for name in ("ari", "nmi")) < 0.1
    assert blended["clisi"] < mixed["clisi"]
    assert blended["silhouette_types"] < 0.55 < mixed["silhouette_types"]


def slow_bras(points, batches, types):
    """One cell after the other: the mean over types of the mean of 1 − |silhouette|, all other batches being one cluster."""
    of_types = []
    for one in np.unique(types):
        cells, labels = points[types == one], batches[types == one]
        distances = np.linalg.norm(cells[:, None] - cells[None], axis=-1)
        scores = []
        for cell, label in enumerate(labels):
            own = distances[cell, labels == label].sum() / ((labels == label).sum() - 1)
            others = distances[cell, labels != label].mean()
            scores.append(1 - abs(others - own) / max(others, own))
        of_types.append(np.mean(scores))
    return np.mean(of_types)


@needs_scib
def test_batches_that_mix_in_pairs_are_apart():
    """Four batches; the pairs 0, 1 and 2, 3 mix and lie apart, which the nearest other batch does not show."""
    import scib_metrics

    rng = np.random.default_rng(0)
    batches, types = np.arange(240) % 4, np.arange(240) // 120
    points = rng.normal(size=(240, 4)).astype(np.float32) + 20 * np.eye(2, 4)[types]
    mixed = integration_scores(points, batches, types, with_kbet=False)["bras"]
    points[:, 3] += 30 * (batches > 1)
    found = integration_scores(points, batches, types, with_kbet=False)["bras"]
    assert found == pytest.approx(slow_bras(points, batches, types), abs=1e-4)
    assert found < 0.25 < 0.9 < mixed
    assert scib_metrics.silhouette_batch(points, types, batches) > 0.9


def test_connectivity_is_the_mean_share_of_the_largest_part_of_each_type():
    neighbours = np.array([[0, 1], [1, 0], [2, 0], [3, 4], [4, 3], [5, 6], [6, 7], [7, 5], [8, 0], [9, 5]])
    types = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    # 2 is nobody's neighbour and has one itself; 8 has a neighbour of the other type only
    assert graph_connectivity(neighbours, types) == pytest.approx((3 / 5 + 4 / 5) / 2)
    assert graph_connectivity(neighbours[:5], types[:5]) == pytest.approx(3 / 5)


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_connectivity_is_that_of_the_graph_of_scanpy(spread):
    """As in Luecken et al. 2022, who ask for strong components of scanpy's connectivities, which are symmetric."""
    rng = np.random.default_rng(0)
    types = np.arange(200) % 4
    points = rng.normal(size=(200, 3)) * np.where(np.arange(200) < 100, 0.1, 1.0)[:, None]
    points += spread * np.eye(4, 3)[types] + rng.integers(0, 3, (200, 1)) * 4.0
    neighbours = NearestNeighbors(n_neighbors=6).fit(points).kneighbors(points)[1]
    data = AnnData(points)
    scanpy.pp.neighbors(data, n_neighbors=6, use_rep="X")
    shares = []
    for one in range(4):
        graph = data[types == one].obsp["connectivities"]
        _, parts = connected_components(graph, directed=True, connection="strong")
        shares.append(np.bincount(parts).max() / (types == one).sum())
    assert 0.2 < np.mean(shares) < 0.9
    assert graph_connectivity(neighbours, types) == pytest.approx(np.mean(shares))


def test_both_sides_give_as_many_cells_of_each_type():
    rng = np.random.default_rng(0)
    types, others = np.repeat([0, 1, 2, -1], [300, 60, 10, 50]), np.repeat([0, 1, 2], [170, 500, 90])
    first, second = balanced_cells(types, others, rng)
    for chosen, side in ((first, types), (second, others)):
        assert len(set(chosen)) == len(chosen)
        assert list(np.bincount(side[chosen])) == [150, 50]


def test_without_types_both_sides_give_as_many_cells():
    first, second = balanced_cells(np.full(40, -1), np.full(70, -1), np.random.default_rng(0))
    assert len(first) == len(second) == 40
    assert second.max() > 40
