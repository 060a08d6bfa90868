import numpy as np
import pytest

from discern.evaluation.neighbourhoods import neighbourhood


def slow_shares(points, batches, types):
    """The same, one cell after the other."""
    own_type, own_batch = [], []
    for cell in range(len(points)):
        distances = ((points - points[cell]) ** 2).sum(axis=1)
        distances[cell] = np.inf
        own_type.append(np.mean(types[np.argsort(distances)[:15]] == types[cell]))
        distances[types != types[cell]] = np.inf
        own_batch.append(np.mean(batches[np.argsort(distances)[:15]] == batches[cell]))
    return np.mean(own_type), np.mean(own_batch)


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 3)), rng.integers(0, 2, 200), rng.integers(0, 3, 200)


def test_shares_agree_with_a_slow_count(cells):
    points, batches, types = cells
    found = neighbourhood(points, batches, types)
    assert (found.own_type, found.own_batch) == pytest.approx(slow_shares(points, batches, types))
    assert found.own_batch == pytest.approx(found.own_batch_if_mixed, abs=0.03)
    assert abs(found.apart) < 0.06


def test_batches_and_types_that_lie_apart(cells):
    points, batches, types = cells
    found = neighbourhood(points + 100 * types[:, None], batches, types)
    assert found.own_type == 1
    assert found.own_batch < 0.6
    found = neighbourhood(points + 100 * batches[:, None], batches, types)
    assert found.own_type < 0.5
    assert (found.own_batch, found.apart) == (1, 1)


def test_without_types_all_cells_are_of_one(cells):
    points, batches, types = cells
    found = neighbourhood(points, batches, np.full(200, -1))
    assert np.isnan(found.own_type)
    assert found.own_batch == pytest.approx(slow_shares(points, batches, np.zeros(200))[1])
    some = np.where(np.arange(200) < 150, types, -1)
    assert neighbourhood(points, batches, some) == neighbourhood(points[:150], batches[:150], types[:150])


def test_one_cell_has_no_neighbours():
    found = neighbourhood(np.zeros((1, 2)), np.zeros(1, dtype=int), np.zeros(1, dtype=int))
    assert np.isnan([found.own_type, found.own_batch, found.apart]).all()
