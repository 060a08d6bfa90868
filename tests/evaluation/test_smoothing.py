import numpy as np
import pytest

from discern.evaluation.smoothing import smooth_over_neighbours


def slow_smoothing(expression, n_neighbours, n_components):
    """Distances between all pairs in the space of the leading eigenvectors of the covariance."""
    centred = expression - expression.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    points = centred @ vectors[:, np.argsort(-values)[:n_components]]
    smoothed = []
    for point in points:
        nearest = np.argsort(((points - point) ** 2).sum(axis=1), kind="stable")[:n_neighbours]
        smoothed.append(expression[nearest].mean(axis=0))
    return np.array(smoothed)


@pytest.mark.parametrize(("n_neighbours", "n_components"), [(1, 3), (5, 2), (15, 20)])
def test_against_all_pairs(n_neighbours, n_components):
    expression = np.random.default_rng(0).normal(size=(60, 30))
    np.testing.assert_allclose(
        smooth_over_neighbours(expression, n_neighbours, n_components),
        slow_smoothing(expression, n_neighbours, n_components),
        atol=1e-12,
    )


def test_groups_far_apart_become_their_means():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 15)
    expression = rng.normal(size=(3, 8))[group] * 100 + rng.normal(size=(45, 8))
    expected = np.array([expression[group == one].mean(axis=0) for one in range(3)])[group]
    np.testing.assert_allclose(smooth_over_neighbours(expression, 15), expected, atol=1e-10)


def test_fewer_cells_than_neighbours():
    expression = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(smooth_over_neighbours(expression), np.tile(expression.mean(0), (4, 1)), atol=1e-12)
