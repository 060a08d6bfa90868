import numpy as np
import pytest

from discern.evaluation.baselines import smooth_within_batches
from discern.evaluation.shown_cells import balanced_positions, spread_within_types


@pytest.mark.parametrize(
    ("n_target", "n_others", "n_cells", "expected"),
    [
        (500, 500, 200, (100, 100)),
        (500, 30, 200, (170, 30)),
        (30, 500, 200, (30, 170)),
        (30, 40, 200, (30, 40)),
        (300, 0, 200, (200, 0)),
    ],
)
def test_half_of_the_cells_are_from_the_target(n_target, n_others, n_cells, expected):
    of_target = np.random.default_rng(1).permutation(np.repeat([True, False], [n_target, n_others]))
    positions = balanced_positions(of_target, n_cells, np.random.default_rng(0))
    assert (np.diff(positions) > 0).all()
    assert (of_target[positions].sum(), (~of_target[positions]).sum()) == expected
    again = balanced_positions(of_target, n_cells, np.random.default_rng(0))
    np.testing.assert_array_equal(positions, again)


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    types = np.arange(160) % 3 - 1
    measured = (rng.normal(2.0, 0.5, (160, 25)) + types[:, None]).astype(np.float32)
    return measured, types, (np.arange(160) // 3) % 2


def test_spread_is_that_of_averages_over_neighbours(cells):
    measured, types, batches = cells
    smoothed = smooth_within_batches(measured, batches)
    assert spread_within_types(smoothed, measured, types, batches) == pytest.approx(1.0, rel=1e-4)
    assert spread_within_types(smoothed / 2, measured, types, batches) == pytest.approx(0.25, rel=1e-4)
    ratios = [measured[types == one].var(axis=0, ddof=1) / smoothed[types == one].var(axis=0, ddof=1) for one in (0, 1)]
    assert spread_within_types(measured, measured, types, batches) == pytest.approx(np.median(ratios), rel=1e-3)
    # differences between types do not count
    assert spread_within_types(types[:, None] * np.ones_like(measured), measured, types, batches) == 0


def test_without_types_all_cells_are_of_one(cells):
    measured, types, batches = cells
    smoothed = smooth_within_batches(measured, batches)
    expected = np.median(measured.var(axis=0) / smoothed.var(axis=0))
    found = spread_within_types(measured, measured, np.full(160, -1), batches)
    assert found == pytest.approx(expected, rel=1e-3)


def test_too_few_cells_have_no_spread(cells):
    measured, types, batches = cells
    assert np.isnan(spread_within_types(measured[:8], measured[:8], np.zeros(8, dtype=int), batches[:8]))
    assert np.isnan(spread_within_types(measured[:0], measured[:0], types[:0], batches[:0]))
