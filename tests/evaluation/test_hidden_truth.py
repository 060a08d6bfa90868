import numpy as np
import pytest
from scipy import stats

from discern.evaluation.hidden_truth import (
    cell_correlations,
    gene_correlations,
    hidden_truth_scores,
    mean_of_finite,
    squared_error,
    variance_ratio,
)


@pytest.fixture
def truth():
    return np.random.default_rng(0).gamma(2.0, 1.0, (40, 12))


@pytest.fixture
def estimate(truth):
    return truth + np.random.default_rng(1).normal(0.0, 0.7, truth.shape)


def test_genes_against_scipy(estimate, truth):
    slow = [stats.pearsonr(estimate[:, gene], truth[:, gene]).statistic for gene in range(12)]
    np.testing.assert_allclose(gene_correlations(estimate, truth), slow, rtol=1e-12)


def test_cells_against_scipy_after_removing_gene_means(estimate, truth):
    first, second = estimate - estimate.mean(0), truth - truth.mean(0)
    slow = [stats.pearsonr(first[cell], second[cell]).statistic for cell in range(40)]
    np.testing.assert_allclose(cell_correlations(estimate, truth), slow, rtol=1e-12)


def test_gene_means_alone_earn_nothing():
    """Every cell the mean of its genes plus noise that says nothing of the truth: no correlation is left."""
    rng = np.random.default_rng(0)
    means = rng.gamma(1.0, 10.0, 300)
    truth, estimate = rng.poisson(means, (200, 300)), rng.poisson(means, (200, 300))
    raw = [stats.pearsonr(a, b).statistic for a, b in zip(estimate, truth, strict=True)]
    assert np.mean(raw) > 0.8
    assert abs(cell_correlations(estimate, truth).mean()) < 0.02


@pytest.mark.parametrize("correlations", [gene_correlations, cell_correlations])
def test_known_values(correlations, truth):
    np.testing.assert_allclose(correlations(truth, truth), 1.0, rtol=1e-12)
    np.testing.assert_allclose(correlations(3.0 - 2.0 * truth, truth), -1.0, rtol=1e-12)


def test_what_does_not_vary_is_nan_without_a_warning(truth, estimate):
    constant = estimate.copy()
    constant[:, 3] = 2.0
    found = gene_correlations(constant, truth)
    assert np.isnan(found[3])
    assert np.isfinite(np.delete(found, 3)).all()
    assert np.isnan(cell_correlations(np.tile(truth.mean(0), (40, 1)), truth)).all()


def test_many_equal_float32_values_do_not_vary():
    """Their mean, summed in float32, is off by more than the last digit."""
    rng = np.random.default_rng(0)
    constant = np.tile(rng.gamma(1.0, size=300).astype(np.float32), (5000, 1))
    truth = rng.normal(size=constant.shape).astype(np.float32)
    assert np.isnan(gene_correlations(constant, truth)).all()
    assert np.isnan(cell_correlations(constant, truth)).all()


def test_inputs_stay_as_they_are(estimate, truth):
    before = estimate.copy(), truth.copy()
    gene_correlations(estimate, truth)
    cell_correlations(estimate, truth)
    np.testing.assert_array_equal(before, (estimate, truth))


def test_error_and_variances_against_loops(estimate, truth):
    slow = np.mean([(estimate[cell, gene] - truth[cell, gene]) ** 2 for cell in range(40) for gene in range(12)])
    assert squared_error(estimate, truth) == pytest.approx(slow, rel=1e-12)
    ratios = [np.var(estimate[:, gene]) / np.var(truth[:, gene]) for gene in range(12)]
    assert variance_ratio(estimate, truth) == pytest.approx(np.median(ratios), rel=1e-12)


def test_scores_of_known_estimates(truth):
    assert hidden_truth_scores(truth, truth) == pytest.approx(
        {"gene_correlation": 1, "cell_correlation": 1, "squared_error": 0, "variance_ratio": 1}
    )
    halved = hidden_truth_scores(truth.mean(0) + 0.5 * (truth - truth.mean(0)), truth)
    assert halved["variance_ratio"] == pytest.approx(0.25)
    assert halved["squared_error"] == pytest.approx(0.25 * truth.var(0).mean())
    means = hidden_truth_scores(np.tile(truth.mean(0), (40, 1)), truth)
    assert np.isnan([means["gene_correlation"], means["cell_correlation"]]).all()
    assert means["variance_ratio"] == 0


def test_genes_that_are_never_seen_are_left_out(truth, estimate):
    unseen = truth.copy()
    unseen[:, 2] = 0.0
    kept = np.arange(12) != 2
    assert variance_ratio(estimate, unseen) == pytest.approx(variance_ratio(estimate[:, kept], truth[:, kept]))
    assert np.isnan(variance_ratio(estimate, np.zeros_like(truth)))
    assert mean_of_finite(np.array([1.0, np.nan, 3.0])) == 2.0
    assert np.isnan(mean_of_finite(np.array([np.nan])))
