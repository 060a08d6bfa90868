import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError
from discern.io.transform import InputTransform
from discern.scaling import GeneScaling

COUNTS = sparse.csr_matrix(np.array([[3, 0, 1], [0, 0, 8]], dtype=np.float32))
TOTAL = np.array([4.0, 8.0])
SCALING = GeneScaling(np.array([0.5, 2.0, 20.0], np.float32), np.array([2.0, 0.1, 1.5], np.float32))


def test_without_settings_the_counts_stay():
    np.testing.assert_array_equal(InputTransform().dense(COUNTS, TOTAL), COUNTS.toarray())


def test_library_size():
    result = InputTransform(library_size=100.0).dense(COUNTS, TOTAL)
    np.testing.assert_allclose(result, [[75, 0, 25], [0, 0, 100]])


def test_logarithm():
    result = InputTransform(log=True).dense(COUNTS, TOTAL)
    np.testing.assert_allclose(result, np.log([[4, 1, 2], [1, 1, 9]]), rtol=1e-6)


def test_all_together():
    transform = InputTransform(library_size=100.0, log=True, scaling=SCALING)
    logged = np.log(np.array([[76, 1, 26], [1, 1, 101]], dtype=np.float64))
    expected = (logged - [0.5, 2.0, 20.0]) / [2.0, 0.1, 1.5]
    result = transform.dense(COUNTS, TOTAL)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(result[COUNTS.toarray() == 0], transform.zeros(3)[[1, 0, 1]])


def test_a_cell_without_counts_stays_at_zero():
    transform = InputTransform(library_size=100.0, log=True, scaling=SCALING)
    result = transform.dense(sparse.csr_matrix((2, 3), dtype=np.float32), np.array([0, 0]))
    np.testing.assert_array_equal(result, np.tile(transform.zeros(3), (2, 1)))


def test_the_counts_given_are_not_changed():
    counts, total = COUNTS.copy(), TOTAL.astype(np.float32)
    InputTransform(library_size=100.0, log=True, scaling=SCALING).dense(counts, total)
    np.testing.assert_array_equal(counts.toarray(), COUNTS.toarray())
    np.testing.assert_array_equal(total, TOTAL)


def test_zeros_without_scaling_are_zero():
    zeros = InputTransform(library_size=100.0, log=True).zeros(4)
    assert zeros.dtype == np.float32
    np.testing.assert_array_equal(zeros, [0, 0, 0, 0])


@pytest.mark.parametrize(
    ("uns", "library_size", "is_scaled"),
    [
        ({}, None, False),
        ({"DISCERN": {"scale": {}}}, None, False),
        ({"DISCERN": {"scale": {"LSN": np.int64(20000)}}}, 20000.0, False),
        ({"DISCERN": {"scale": {"LSN": 1e4}}, "fixed_scaling": {"mean": "genes", "var": "genes"}}, 1e4, True),
    ],
)
def test_what_preprocessing_recorded(uns, library_size, is_scaled):
    var = pd.DataFrame({"mean_scaling": [1.0, 2.0], "var_scaling": [0.5, 4.0]})
    transform = InputTransform.scaled_log_expression(var, uns)
    assert (transform.library_size, transform.log) == (library_size, True)
    np.testing.assert_allclose(transform.zeros(2), [-2.0, -0.5] if is_scaled else [0.0, 0.0])


def test_genes_that_were_not_measured_get_the_scaled_mean():
    means = np.array([1.5, 1.0, 2.0], np.float32)
    measured = np.array([[True, False, True], [False, True, True]])
    transform = InputTransform(100.0, True, SCALING, means)
    expected = np.where(measured, transform.dense(COUNTS, TOTAL), (means - [0.5, 2.0, 20.0]) / [2.0, 0.1, 1.5])
    result = transform.dense(COUNTS, TOTAL, measured)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    np.testing.assert_array_equal(result[measured], transform.dense(COUNTS, TOTAL)[measured])
    np.testing.assert_array_equal(InputTransform(log=True, gene_means=means).fill, means)


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ({"mean": "genes", "var": "genes"}, [0.0, 0.0]),
        ({"mean": 0.5, "var": "genes", "add_to_var": 1.0}, [0.5 / 1.5, 1.5 / 5.0]),
        ({"mean": "genes", "var": 1.0, "add_to_mean": 2.0}, [-2.0, -2.0]),
        (None, [1.0, 2.0]),
    ],
)
def test_the_mean_that_preprocessing_recorded_fills(fixed, expected):
    var = pd.DataFrame({"mean_scaling": [1.0, 2.0], "var_scaling": [0.5, 4.0]})
    fill = InputTransform.scaled_log_expression(var, {} if fixed is None else {"fixed_scaling": fixed}).fill
    assert fill.dtype == np.float32
    np.testing.assert_allclose(fill, expected, rtol=1e-6)


def test_means_that_are_not_known_are_those_that_scaling_subtracts():
    """Models saved by earlier versions do not tell them."""
    np.testing.assert_array_equal(InputTransform(100.0, True, SCALING).fill, [0, 0, 0])
    ones = np.ones(3, np.float32)
    for scaling in (None, GeneScaling(ones, ones)):
        with pytest.raises(DataError, match="var has no column 'mean_scaling', or the model .* train anew"):
            _ = InputTransform(100.0, True, scaling).fill
    assert InputTransform.scaled_log_expression(pd.DataFrame(index=["a"]), {}).gene_means is None
