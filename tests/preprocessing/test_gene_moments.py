import numpy as np
import pytest
from scipy import sparse

from discern.preprocessing.gene_moments import gene_moments, value_sums
from discern.preprocessing.row_chunks import log1p, row_chunks


@pytest.mark.parametrize("max_cells", [1, 7, 1000])
def test_moments_of_any_chunks(counts, max_cells):
    logged = log1p(counts)
    dense = logged.toarray().astype(np.float64)
    moments = gene_moments(row_chunks(logged, max_cells), 60)
    assert moments.n_cells == 90
    np.testing.assert_allclose(moments.mean, dense.mean(axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(moments.deviation, np.maximum(dense.std(axis=0), 1e-8), rtol=1e-10)


def test_a_constant_gene_has_the_smallest_deviation():
    constant = sparse.csr_matrix(np.full((1000, 2), [0.0, 7.3], dtype=np.float32))
    assert list(gene_moments(row_chunks(constant, 64), 2).deviation) == [1e-8, 1e-8]


@pytest.mark.parametrize("max_cells", [7, 1000])
def test_mean_and_sample_variance(counts, max_cells):
    dense = counts.toarray().astype(np.float64)
    mean, variance = value_sums(row_chunks(counts, max_cells), 60).mean_and_variance
    np.testing.assert_allclose(mean, dense.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance, dense.var(axis=0, ddof=1), rtol=1e-10, atol=1e-14)
