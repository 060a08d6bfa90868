import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discern.errors import DataError
from discern.scaling import GeneScaling, gene_scaling

VAR = pd.DataFrame({"mean_scaling": [0.3, 1.7, 0.0], "var_scaling": [0.9, 1e-8, 3.0]})


def test_scaling_of_the_genes():
    scaling = gene_scaling(VAR, {"mean": "genes", "var": "genes"})
    np.testing.assert_allclose(scaling.mean, [0.3, 1.7, 0.0], rtol=1e-7)
    np.testing.assert_allclose(scaling.std, [0.9, 1e-8, 3.0], rtol=1e-7)
    assert scaling.mean.dtype == scaling.std.dtype == np.float32


def test_one_number_for_all_and_additions():
    scaling = gene_scaling(VAR, {"mean": 2, "var": "genes", "add_to_mean": -0.5, "add_to_var": 1})
    np.testing.assert_allclose(scaling.mean, [1.5] * 3)
    np.testing.assert_allclose(scaling.std, [1.9, 1.0, 4.0])


def test_without_settings_nothing_changes():
    scaling = gene_scaling(VAR, {})
    np.testing.assert_array_equal(scaling.scale(np.array([[1.0, 2.0, 3.0]])), [[1, 2, 3]])


def _numbers(lowest: float, highest: float):
    return st.floats(lowest, highest, width=32, allow_subnormal=False)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(_numbers(0, 20), _numbers(2**-10, 1000), _numbers(0, 15)), min_size=1))
def test_scaling_against_float64(genes):
    mean, std, expression = (np.array(column, dtype=np.float32) for column in zip(*genes, strict=True))
    scaling = GeneScaling(mean, std)
    scaled = scaling.scale(expression[None])
    exact = (expression.astype(float) - mean.astype(float)) / std.astype(float)
    largest = (np.abs(expression) + np.abs(mean)) / std
    assert (np.abs(scaled[0] - exact) <= 2e-7 * largest + 1e-30).all()
    np.testing.assert_allclose(scaling.unscale(scaled)[0], expression, atol=1e-5)
    np.testing.assert_array_equal(scaling.zeros, scaling.scale(np.zeros((1, len(genes))))[0])


@pytest.mark.parametrize(
    "matrix", [np.ones((2, 3)), np.ones((2, 3), dtype=np.int64), np.ones((2, 3), dtype=np.float32)]
)
def test_the_result_is_float32_and_the_input_stays(matrix):
    before = matrix.copy()
    assert GeneScaling(np.float32([1, 2, 3]), np.float32([1, 2, 4])).scale(matrix).dtype == np.float32
    np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"mean": "genes", "var": -1.0}, "deviation <= 0"),
        ({"mean": "genes", "var": "genes", "add_to_var": -1e-8}, "deviation <= 0"),
        ({"mean": float("nan")}, "not finite"),
        ({"mean": "gene"}, "takes a number or 'genes', received 'gene'"),
        ({"mean": 0, "sd": 1}, r"unknown keys \['sd'\]. Known: \['add_to_mean'"),
    ],
)
def test_impossible_scalings_are_refused(fixed, message):
    with pytest.raises(DataError, match=message):
        gene_scaling(VAR, fixed)


def test_data_that_were_never_preprocessed_are_refused():
    with pytest.raises(DataError, match="no column 'mean_scaling'. Run `discern process` first"):
        gene_scaling(pd.DataFrame(index=["a"]), {"mean": "genes", "var": 1.0})
