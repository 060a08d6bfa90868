import numpy as np
import pytest
from scipy import stats

from discern.evaluation.type_moments import share_that_differs, type_moments, welch_t


@pytest.fixture
def expression():
    return np.random.default_rng(0).gamma(1.0, 1.0, (30, 6)).astype(np.float32)


def test_moments_against_loops(expression):
    types = np.array([0, 1, -1] * 10)
    found = type_moments(expression, types, 3)
    for one in (0, 1):
        cells = expression[types == one].astype(float)
        np.testing.assert_allclose(found.mean[one], [np.mean(gene) for gene in cells.T], rtol=1e-9)
        np.testing.assert_allclose(found.variance[one], [np.var(gene, ddof=1) for gene in cells.T], rtol=1e-9)
    assert list(found.n_cells) == [10, 10, 0]
    assert np.isnan(found.mean[2]).all()


def test_equal_float32_values_have_no_variance():
    equal = np.full((999, 2), np.float32(0.1))
    np.testing.assert_array_equal(type_moments(equal, np.zeros(999, int), 1).variance, 0.0)


def test_welch_against_scipy(expression):
    first, second = expression[:12], 1.2 * expression[12:]
    moments = [type_moments(cells, np.zeros(len(cells), int), 1) for cells in (first, second)]
    change = moments[0].mean[0] - moments[1].mean[0]
    t, freedom = welch_t(change, (moments[0].variance[0], moments[1].variance[0]), (12, 18))
    slow = stats.ttest_ind(first.astype(float), second.astype(float), equal_var=False)
    np.testing.assert_allclose(t, slow.statistic, rtol=1e-8)
    np.testing.assert_allclose(freedom, slow.df, rtol=1e-8)


def test_genes_that_vary_nowhere_have_no_t():
    t, freedom = welch_t(np.array([1.0, 1.0]), (np.array([0.0, 1.0]), np.array([0.0, 0.0])), (5, 5))
    assert np.isnan([t[0], freedom[0]]).all()
    assert t[1] == pytest.approx(np.sqrt(5))
    assert freedom[1] == pytest.approx(4)


def test_share_against_scipys_false_discovery_control():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(21, 360)), rng.normal(size=(21, 360))
    second[:, :60] += 1.5
    p = stats.ttest_ind(first, second, equal_var=False).pvalue
    expected = np.mean(stats.false_discovery_control(p) <= 0.05)
    variances = first.var(axis=0, ddof=1), second.var(axis=0, ddof=1)
    assert share_that_differs(first.mean(axis=0) - second.mean(axis=0), variances, (21, 21)) == pytest.approx(expected)
    assert 0.1 < expected < 0.2


def test_genes_that_vary_nowhere_differ_when_their_means_do():
    nothing = np.zeros(4)
    assert share_that_differs(nothing, (nothing, nothing), (9, 9)) == 0.0
    assert share_that_differs(np.array([0.0, 0.5, 1e-9, -2.0]), (nothing, nothing), (9, 9)) == 0.5
    assert share_that_differs(nothing, (nothing + 1, nothing + 1), (9, 9)) == 0.0
