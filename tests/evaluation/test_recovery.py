import numpy as np
import pytest
from scipy import stats

from discern.evaluation.recovery import cell_correlations, gene_correlations


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


def test_inputs_stay_as_they_are(estimate, truth):
    before = estimate.copy(), truth.copy()
    gene_correlations(estimate, truth)
    cell_correlations(estimate, truth)
    np.testing.assert_array_equal(before, (estimate, truth))
