import logging

import numpy as np
import pytest

from discern.errors import DataError
from discern.preprocessing.mmd_kernel import kernel_width


def slow_kernel_width(points, n_neighbors):
    means = []
    for point in points.astype(np.float64):
        distances = sorted(np.sqrt(((points - point) ** 2).sum(axis=1)))
        means.append(np.mean(distances[1:n_neighbors]))
    return np.median(means) ** 2


@pytest.mark.parametrize("n_neighbors", [2, 10, 50])
def test_width_is_that_of_all_distances(n_neighbors):
    points = np.random.default_rng(0).normal(size=(120, 8)).astype(np.float32)
    assert kernel_width(points, n_neighbors) == pytest.approx(slow_kernel_width(points, n_neighbors), rel=1e-5)


def test_few_cells_use_all_others(caplog):
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    with caplog.at_level(logging.INFO):
        assert kernel_width(points, 50) == pytest.approx(slow_kernel_width(points, 20), rel=1e-5)
    assert "using 19 neighbours" in caplog.text


def test_one_cell_has_no_distance():
    with pytest.raises(DataError, match="received 1 cell"):
        kernel_width(np.zeros((1, 3), dtype=np.float32), 50)
