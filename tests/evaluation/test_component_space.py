import numpy as np
import pytest

from discern.evaluation.component_space import fit_space, leading_loadings


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (450, 600), (600, 450)])
def test_components_span_what_a_whole_decomposition_does(shape):
    values = np.random.default_rng(0).normal(size=shape) * np.linspace(1, 3, shape[1])
    left, sizes, _ = np.linalg.svd(values, full_matrices=False)
    found = values @ leading_loadings(values, 5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), sizes[:5], rtol=1e-8)
    np.testing.assert_allclose(found @ found.T, (left[:, :5] * sizes[:5] ** 2) @ left[:, :5].T, atol=1e-6)


def test_points_keep_distances_within_the_components():
    rng = np.random.default_rng(0)
    expression = (rng.normal(size=(80, 3)) @ rng.normal(size=(3, 40)) + 5).astype(np.float32)  # three dimensions
    space = fit_space(expression, 3)
    points = space.points(expression)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-4)
    slow = np.array([[np.linalg.norm(a - b) for b in expression[:9]] for a in expression[:9]])
    found = np.array([[np.linalg.norm(a - b) for b in points[:9]] for a in points[:9]])
    np.testing.assert_allclose(found, slow, atol=1e-3)


def test_the_kernel_is_as_wide_as_neighbours_are_apart():
    expression = np.random.default_rng(0).normal(size=(70, 5))
    space = fit_space(expression, 5)
    distances = np.sort([[np.linalg.norm(a - b) for b in expression] for a in expression], axis=1)
    assert space.kernel_width == pytest.approx(np.median(distances[:, 1:50].mean(axis=1)) ** 2)


def test_cells_that_are_all_the_same_have_a_space():
    space = fit_space(np.ones((3, 6), dtype=np.float32))
    np.testing.assert_array_equal(space.points(np.ones((3, 6))), 0)


@pytest.mark.parametrize("n_cells", [10, 30, 450])
def test_cells_that_vary_in_few_directions(n_cells):
    """What rounding leaves of other directions is no component."""
    rng = np.random.default_rng(0)
    directions = rng.poisson(2.0, (min(n_cells, 20), 2000))
    expression = (rng.normal(size=(n_cells, len(directions))) @ directions).astype(np.float32)
    centred = expression - expression.mean(axis=0)
    rank = np.linalg.matrix_rank(centred.astype(np.float64), rtol=1e-5)
    loadings = leading_loadings(centred, 32).astype(np.float64)
    products = loadings.T @ loadings
    np.testing.assert_allclose(products, np.diag(np.arange(len(products)) < rank), atol=1e-3)
    assert rank == min(n_cells - 1, 20)


def test_many_cells_that_are_all_the_same():
    assert not leading_loadings(np.zeros((500, 600), np.float32), 5).any()
    assert not (np.zeros((600, 500)) @ leading_loadings(np.zeros((600, 500), np.float32), 5)).any()
