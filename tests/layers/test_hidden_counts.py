"""Hiding genes from the encoder: shares, values, streams."""

import keras
import numpy as np
import pytest

from discern.layers.hidden_counts import HiddenCounts

ZEROS = np.linspace(-1, -0.1, 500).astype(np.float32)


@pytest.fixture
def cells():
    return np.random.default_rng(0).normal(5, 0.1, (400, 500)).astype(np.float32)


def test_cells_are_seen_whole_but_in_training(cells):
    layer = HiddenCounts(0.6, ZEROS, seed=1)
    np.testing.assert_array_equal(layer(cells), cells)
    np.testing.assert_array_equal(layer(cells, training=False), cells)
    np.testing.assert_array_equal(HiddenCounts(0.0, ZEROS, seed=1)(cells, training=True), cells)


def test_what_is_hidden_reads_like_a_count_of_zero(cells):
    seen = np.asarray(HiddenCounts(0.6, ZEROS, seed=1)(cells, training=True))
    hidden = seen != cells
    np.testing.assert_array_equal(seen[hidden], np.broadcast_to(ZEROS, cells.shape)[hidden])


@pytest.mark.parametrize("most", [0.6, 0.9])
def test_shares_are_spread_evenly_up_to_the_largest(cells, most):
    hidden = np.asarray(HiddenCounts(most, ZEROS, seed=1)(cells, training=True)) != cells
    of_cells = hidden.mean(axis=1)
    np.testing.assert_allclose(np.quantile(of_cells, [0.1, 0.5, 0.9]), np.array([0.1, 0.5, 0.9]) * most, atol=0.07)
    np.testing.assert_allclose(hidden.mean(axis=0), most / 2, atol=0.1)  # no gene is hidden more than others
    # given their share, genes are hidden independently: no more variance than that of a binomial
    excess = of_cells.var() - (of_cells * (1 - of_cells) / 500).mean()
    assert excess == pytest.approx(most**2 / 12, rel=0.15)


def test_every_step_hides_others_and_the_seed_decides(cells):
    first, same, other = (HiddenCounts(0.6, ZEROS, seed=seed) for seed in (1, 1, 2))
    step = np.asarray(first(cells, training=True))
    np.testing.assert_array_equal(step, same(cells, training=True))
    assert (step != np.asarray(first(cells, training=True))).any()
    assert (step != np.asarray(other(cells, training=True))).any()


def test_the_layer_survives_its_configuration(cells):
    layer = HiddenCounts(0.6, ZEROS, seed=1)
    again = HiddenCounts.from_config(layer.get_config())
    np.testing.assert_array_equal(layer(cells, training=True), again(cells, training=True))


@pytest.mark.parametrize("most", [-0.1, 1.0, float("nan")])
def test_impossible_shares_are_refused(most):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        HiddenCounts(most, ZEROS)


def test_half_precision_stays(cells):
    layer = HiddenCounts(0.6, ZEROS, seed=1, dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(layer(cells, training=True).dtype) == "bfloat16"
