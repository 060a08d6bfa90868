import warnings

import numpy as np
import pytest

from discern.preprocessing.dispersion import (
    GeneDispersion,
    cell_ranger_dispersion,
    highly_variable,
    most_dispersed,
    seurat_dispersion,
)


@pytest.fixture
def expression() -> np.ndarray:
    rng = np.random.default_rng(0)
    mean = rng.gamma(0.7, 1.5, 400)
    return rng.negative_binomial(2.0, 2.0 / (2.0 + mean), (150, 400)).astype(np.float64)


def scanpy_dispersion(expression, **options):
    import scanpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scanpy.pp.filter_genes_dispersion(expression, log=False, **options)


def moments(expression):
    return expression.mean(axis=0), expression.var(axis=0, ddof=1)


def test_cell_ranger_flavour_is_scanpys(expression):
    genes = cell_ranger_dispersion(*moments(expression))
    theirs = scanpy_dispersion(expression, flavor="cell_ranger", n_top_genes=100)
    np.testing.assert_allclose(genes.normalised, theirs["dispersions_norm"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(genes.dispersion, theirs["dispersions"], rtol=1e-6)
    assert np.count_nonzero(most_dispersed(genes, 100) != theirs["gene_subset"]) <= 1  # rounding at the cut-off


def test_seurat_flavour_is_scanpys(expression):
    genes = seurat_dispersion(*moments(expression))
    theirs = scanpy_dispersion(expression, flavor="seurat")
    np.testing.assert_allclose(genes.normalised, theirs["dispersions_norm"], rtol=1e-4, atol=1e-6)
    assert (highly_variable(genes) == theirs["gene_subset"]).all()
    assert 0 < highly_variable(genes).sum() < 400


def test_a_gene_alone_in_its_bin_is_one_and_an_unseen_gene_counts_as_no_dispersion():
    genes = seurat_dispersion(np.array([0.0, 1.0, 1.01, 50.0]), np.array([0.0, 2.0, 3.0, 80.0]))
    assert genes.normalised[3] == 1.0
    assert genes.dispersion[0] == 0.0


def test_bins_without_spread_are_not_variable():
    genes = seurat_dispersion(np.array([1.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]))
    assert np.isnan(genes.normalised[:2]).all()
    assert list(highly_variable(genes)) == [False, False, True]


def test_many_genes_of_one_mean_do_not_break_the_percentiles():
    rng = np.random.default_rng(0)
    mean = np.r_[np.full(300, 0.02), rng.uniform(0.1, 3, 100)]
    genes = cell_ranger_dispersion(mean, mean * rng.uniform(1, 3, 400))
    assert np.isfinite(genes.normalised).all()


def test_most_dispersed_with_few_genes_takes_all():
    genes = GeneDispersion(np.ones(3), np.ones(3), np.array([1.0, np.nan, 2.0]))
    assert list(most_dispersed(genes, 3)) == [True, True, True]
    assert list(most_dispersed(genes, 1)) == [False, False, True]
    genes = GeneDispersion(np.ones(4), np.ones(4), np.array([1.0, np.nan, np.nan, 2.0]))
    assert list(most_dispersed(genes, 3)) == [True, False, False, True]
