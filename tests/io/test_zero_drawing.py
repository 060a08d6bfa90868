import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError, ShapeError
from discern.io.zero_drawing import draw_zeros, sample_counts

VAR = pd.DataFrame({"mean_scaling": [1.0, 0.5, 2.0], "var_scaling": [2.0, 0.25, 0.5]})
SCALED = {"fixed_scaling": {"mean": "genes", "var": "genes"}}


@pytest.fixture
def cells():
    rng = np.random.default_rng(2)
    return rng.uniform(1, 3, (200, 3)).astype(np.float32), rng.random((200, 3)).astype(np.float32)


def test_an_entry_is_zero_where_the_draw_exceeds_its_probability(cells):
    expression, probabilities = cells
    result = draw_zeros(expression, probabilities, np.random.default_rng(1))
    draws = np.random.default_rng(1).random((200, 3))
    for cell in range(200):
        for gene in range(3):
            seen = draws[cell, gene] <= probabilities[cell, gene]
            assert result[cell, gene] == (expression[cell, gene] if seen else 0.0)


def test_certain_and_impossible_genes():
    expression = np.ones((500, 2), dtype=np.float32)
    probabilities = np.tile(np.array([1.0, 0.0], dtype=np.float32), (500, 1))
    np.testing.assert_array_equal(draw_zeros(expression, probabilities, np.random.default_rng(0)), probabilities)


def test_the_share_of_zeros_is_one_minus_the_probability():
    expression = np.ones((20_000, 3), dtype=np.float32)
    probabilities = np.broadcast_to(np.array([0.05, 0.4, 0.9]), expression.shape)
    seen = draw_zeros(expression, probabilities, np.random.default_rng(0)).mean(axis=0)
    np.testing.assert_allclose(seen, [0.05, 0.4, 0.9], atol=4 * 0.5 / np.sqrt(20_000))


def test_slices_of_cells_are_drawn_as_the_whole(cells):
    expression, probabilities = cells
    rng = np.random.default_rng(4)
    pieces = [draw_zeros(expression[part], probabilities[part], rng) for part in (slice(0, 70), slice(70, 200))]
    whole = draw_zeros(expression, probabilities, np.random.default_rng(4))
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_other_shapes_are_refused(cells):
    with pytest.raises(ShapeError, match=r"shape \(200, 3\), probabilities have \(200, 2\)"):
        draw_zeros(cells[0], cells[1][:, :2], np.random.default_rng(0))


def test_scaled_counts_stay_scaled_and_zeros_become_the_scaled_zero(cells):
    expression, probabilities = cells
    plain = sample_counts(expression, probabilities, rng=np.random.default_rng(1))
    result = sample_counts(expression, probabilities, VAR, SCALED, rng=np.random.default_rng(1))
    zeros = np.broadcast_to(np.array([-0.5, -2.0, -4.0]), result.shape)
    np.testing.assert_allclose(result, np.where(plain == 0, zeros, expression), rtol=1e-5)


@pytest.mark.parametrize("uns", [None, {}, {"DISCERN": {}}])
def test_without_scaling_zero_is_zero(cells, uns):
    result = sample_counts(*cells, VAR, uns, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(result, draw_zeros(*cells, np.random.default_rng(1)))
    assert (result == 0).any()


def test_drawing_is_the_same_every_time_and_leaves_the_global_generator_alone(cells):
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - it is what must not be used
    np.testing.assert_array_equal(sample_counts(*cells), sample_counts(*cells))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_scaled_counts_need_the_scaling_of_the_genes(cells):
    with pytest.raises(DataError, match="need `var`"):
        sample_counts(*cells, uns=SCALED)
