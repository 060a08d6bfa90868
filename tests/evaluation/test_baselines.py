import numpy as np
import pytest

from discern.evaluation.baselines import combat_into_target, smooth_within_batches, target_mean, target_type_means
from discern.evaluation.smoothing import smooth_over_neighbours


@pytest.fixture
def target():
    return np.random.default_rng(0).gamma(3.0, 1.0, (60, 20)).astype(np.float32)


def test_the_mean_of_the_target(target):
    found = target_mean(target, 7)
    assert found.shape == (7, 20)
    np.testing.assert_allclose(found[3], [np.mean(gene) for gene in target.T.astype(float)], rtol=1e-6)


def test_means_of_types_and_of_all_for_cells_without(target):
    target_types = np.array([0, 2, -1] * 20)
    found = target_type_means(target, target_types, np.array([2, 0, -1, 1, 3]))
    for row, among in zip(found, (target_types == 2, target_types == 0, *[slice(None)] * 3), strict=True):
        np.testing.assert_allclose(row, target[among].mean(axis=0), rtol=1e-6)


def test_smoothing_stays_within_batches(target):
    batches = np.array([0, 1, 1] * 20)
    found = smooth_within_batches(target, batches)
    for one in (0, 1):
        np.testing.assert_allclose(found[batches == one], smooth_over_neighbours(target[batches == one]), rtol=1e-6)


def test_combat_undoes_a_shift_and_a_scale_of_every_gene():
    rng = np.random.default_rng(1)
    target = rng.normal(10, 1, (400, 50)).astype(np.float32)
    shift, scale = rng.normal(0, 2, 50), rng.gamma(20, 0.05, 50)
    unchanged = rng.normal(10, 1, (400, 50))
    moved = (unchanged * scale + shift).astype(np.float32)
    found = combat_into_target(moved, np.zeros(400, int), target)
    assert np.abs(moved.mean(0) - 10).max() > 3
    assert np.abs(found.mean(0) - target.mean(0)).max() < 0.2  # shrunken towards the other genes' shift
    np.testing.assert_allclose(found.std(0), target.std(0), rtol=0.15)
    correlations = [np.corrcoef(found[:, gene], unchanged[:, gene])[0, 1] for gene in range(50)]
    np.testing.assert_allclose(correlations, 1, rtol=1e-5)  # one line per gene


def test_combat_leaves_cells_of_the_target_where_they_are(target):
    found = combat_into_target(target, np.zeros(60, int), target)
    np.testing.assert_allclose(found, target, atol=1e-3)


def test_combat_takes_several_batches_silent_genes_and_batches_of_two_cells(target):
    cells = np.random.default_rng(2).gamma(3.0, 1.0, (42, 20)).astype(np.float32)
    silent = target.copy()
    silent[:, 4] = 0.0
    cells[:20, 5] = 0.0
    batches = np.array([0] * 20 + [1] * 20 + [2] * 2)
    found = combat_into_target(cells, batches, silent)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found[:40, 4] == 0).all()
    np.testing.assert_array_equal(found[40:], cells[40:])
