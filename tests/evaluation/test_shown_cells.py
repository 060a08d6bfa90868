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


def median_ratio(after, before, groups):
    """The median over genes and groups of the ratio of variances, one group at a time."""
    variances = [[values[groups == one].var(axis=0, ddof=1) for values in (after, before)] for one in np.unique(groups)]
    return np.median([first / second for first, second in variances])


def test_spread_is_that_of_averages_over_neighbours(cells):
    measured, types, batches = cells
    smoothed = smooth_within_batches(measured, batches)
    assert spread_within_types(smoothed, measured, types, batches) == pytest.approx(1.0, rel=1e-4)
    assert spread_within_types(smoothed / 2, measured, types, batches) == pytest.approx(0.25, rel=1e-4)
    typed = types >= 0
    expected = median_ratio(measured[typed], smoothed[typed], (2 * types + batches)[typed])
    assert spread_within_types(measured, measured, types, batches) == pytest.approx(expected, rel=1e-3)
    # differences between types do not count
    assert spread_within_types(types[:, None] * np.ones_like(measured), measured, types, batches) == 0


def test_without_types_all_cells_are_of_one(cells):
    measured, types, batches = cells
    smoothed = smooth_within_batches(measured, batches)
    found = spread_within_types(measured, measured, np.full(160, -1), batches)
    assert found == pytest.approx(median_ratio(measured, smoothed, batches), rel=1e-3)


def test_a_model_that_removes_batch_effects_does_not_smooth():
    """The reconstruction is the truth; what differs between batches as measured is no spread within a type."""
    rng = np.random.default_rng(0)
    types, batches = np.arange(450) % 3, (np.arange(450) // 3) % 3
    truth = rng.normal(4.0, 0.3, (450, 40)) + rng.normal(0, 1, (3, 40))[types] + rng.normal(0, 0.5, (450, 1))
    noise, effects = rng.normal(0, 0.3, truth.shape), rng.normal(0, 1, (3, 40))[batches]
    spreads = [
        spread_within_types(
            *((truth + part).astype(np.float32) for part in (0, noise + size * effects)), types, batches
        )
        for size in (0.0, 1.0, 3.0)
    ]
    assert spreads[1:] == pytest.approx([spreads[0]] * 2, rel=1e-3)
    assert spreads[0] > 1


def test_only_ten_cells_of_a_type_and_batch_count(cells):
    measured, types, batches = cells
    few = np.r_[np.flatnonzero((types == 0) & (batches == 0))[:20], np.flatnonzero((types == 0) & (batches == 1))[:9]]
    smoothed = smooth_within_batches(measured[few], batches[few])
    expected = median_ratio(measured[few][:20], smoothed[:20], np.zeros(20))
    found = spread_within_types(measured[few], measured[few], types[few], batches[few])
    assert found == pytest.approx(expected, rel=1e-3)
    many = few[11:]
    assert np.isnan(spread_within_types(measured[many], measured[many], types[many], batches[many]))


def test_too_few_cells_have_no_spread(cells):
    measured, types, batches = cells
    assert np.isnan(spread_within_types(measured[:8], measured[:8], np.zeros(8, dtype=int), batches[:8]))
    assert np.isnan(spread_within_types(measured[:0], measured[:0], types[:0], batches[:0]))
