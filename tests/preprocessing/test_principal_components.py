import numpy as np
import pytest

from discern.errors import DataError
from discern.preprocessing.gene_moments import gene_moments
from discern.preprocessing.principal_components import (
    coordinates,
    gram_matrix,
    loadings,
    require_enough_for,
)
from discern.preprocessing.row_chunks import log1p, row_chunks


@pytest.fixture
def logged(counts):
    return log1p(counts)


@pytest.fixture
def moments(logged):
    return gene_moments(row_chunks(logged), 60)


@pytest.fixture
def scaled(logged):
    dense = logged.toarray().astype(np.float64)
    return (dense - dense.mean(axis=0)) / np.maximum(dense.std(axis=0), 1e-8)


@pytest.mark.parametrize("max_cells", [7, 1000])
def test_gram_matrix(logged, moments, scaled, max_cells):
    genes = np.arange(5, 40)
    gram = gram_matrix(row_chunks(logged, max_cells), genes, moments.mean[genes], moments.deviation[genes])
    np.testing.assert_allclose(gram, scaled[:, genes].T @ scaled[:, genes], rtol=1e-9, atol=1e-9)


def test_components_are_those_of_a_singular_value_decomposition(logged, moments, scaled):
    genes = np.arange(60) % 3 > 0
    used = np.flatnonzero(genes)
    gram = gram_matrix(row_chunks(logged, 16), used, moments.mean[used], moments.deviation[used])
    found = loadings(gram, genes, 6)
    exact = np.linalg.svd(scaled[:, genes], full_matrices=False)[2][:6].T
    np.testing.assert_allclose(np.abs(found[genes]), np.abs(exact), atol=1e-9)
    assert (found[~genes] == 0).all()
    assert (found[np.abs(found).argmax(axis=0), range(6)] > 0).all()


def test_coordinates(logged, moments, scaled):
    directions = np.random.default_rng(0).normal(size=(60, 4))
    points = coordinates(row_chunks(logged, 16), directions, moments.mean, moments.deviation)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points, scaled @ directions, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("n_cells", "n_genes", "words"), [(100, 28, r"genes \(28\)"), (30, 100, r"cells \(30\)")])
def test_too_few_cells_or_genes(n_cells, n_genes, words):
    with pytest.raises(DataError, match=f"too few {words} for 32 principal components"):
        require_enough_for(32, n_cells, n_genes)
