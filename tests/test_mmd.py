import numpy as np
import pytest

from discern import mmd
from discern.errors import DataError, ShapeError
from discern.mmd import mmd_loss

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(13, 4)), RNG.normal(0.7, 1.3, (9, 4))


def slow_mmd(x, y, sigma):
    """Unbiased MMD² by loops over pairs, the largest over 23 widths."""

    def kernel(a, b, width):
        return np.exp(-np.sum((a - b) ** 2) / (2 * width))

    values = []
    for scale in np.linspace(0.8, 1.5, 23):
        width = sigma * scale
        xx = np.mean([kernel(a, b, width) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
        yy = np.mean([kernel(a, b, width) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
        values.append(xx + yy - 2 * np.mean([kernel(a, b, width) for a in x for b in y]))
    return max(values)


@pytest.mark.parametrize("sigma", [0.5, 3.0, 40.0])
def test_matches_the_loops(sigma):
    np.testing.assert_allclose(mmd_loss(X, Y, sigma), slow_mmd(X, Y, sigma), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("entries", [1, 9, 30, 60])
def test_blocks_do_not_change_the_result(entries, monkeypatch):
    whole = mmd_loss(X, Y, 3.0)
    monkeypatch.setattr(mmd, "_BLOCK_ENTRIES", entries)
    np.testing.assert_allclose(mmd_loss(X, Y, 3.0), whole, rtol=1e-6)


def test_no_block_is_larger_than_allowed(monkeypatch):
    monkeypatch.setattr(mmd, "_BLOCK_ENTRIES", 30)
    shapes = [block.shape for block in mmd._blocks(X, Y)]
    assert shapes == [(3, 9)] * 4 + [(1, 9)]


def test_symmetric_and_small_for_the_same_distribution():
    np.testing.assert_allclose(mmd_loss(X, Y, 3.0), mmd_loss(Y, X, 3.0), rtol=1e-6)
    one, other = RNG.normal(size=(2, 400, 4))
    assert abs(mmd_loss(one, other, 4.0)) < 0.01 < mmd_loss(one, other + 1.0, 4.0)


def test_inputs_stay_as_they_were():
    before = X.copy()
    mmd_loss(X, Y.astype("float32"), 3.0)
    np.testing.assert_array_equal(X, before)


def test_faults_are_named():
    with pytest.raises(ShapeError, match="same components"):
        mmd_loss(X, Y[:, :3], 1.0)
    with pytest.raises(ShapeError, match="valid_cells.*two cells"):
        mmd_loss(X, Y[:1], 1.0)
    for sigma in (0.0, -1.0, np.nan):
        with pytest.raises(DataError, match="sigma > 0"):
            mmd_loss(X, Y, sigma)
    with pytest.raises(DataError, match="random_cells.*not finite"):
        mmd_loss(np.where(X > 1, np.nan, X), Y, 1.0)
