import numpy as np
import pytest
from scipy import stats

from discern.workflows.demo_data import DEEP, SHALLOW, blood_cells, thin_half


@pytest.fixture(scope="module")
def cells():
    return blood_cells()


def test_the_cells_are_counts_with_cell_types(cells):
    assert cells.shape == (700, 765)
    counts = cells.X.toarray()
    np.testing.assert_array_equal(counts, np.rint(counts))
    assert counts.min() == 0
    assert counts[counts > 0].min() == 1
    assert list(cells.obs) == ["celltype"]
    assert cells.obs["celltype"].nunique() == 10


def test_the_counts_have_the_expression_scanpy_ships(cells):
    """log1p(counts · 10^4 / library size of all genes) gave scanpy's values: equal up to one factor per cell."""
    import scanpy

    expression = np.expm1(scanpy.datasets.pbmc68k_reduced().raw.X.toarray())
    counts = cells.X.toarray()
    for cell in (0, 123, 699):
        known = counts[cell] > 0
        factor = expression[cell, known] / counts[cell, known]
        np.testing.assert_allclose(factor, factor.mean(), rtol=0.05)


def test_half_is_thinned_and_nothing_is_lost(cells):
    before = cells.X.copy()
    data = thin_half(cells, keep=0.2, seed=3)
    shallow = (data.observed.obs["batch"] == SHALLOW).to_numpy()
    assert shallow.sum() == 350
    assert set(data.observed.obs["batch"]) == {DEEP, SHALLOW}
    np.testing.assert_array_equal((data.observed.X[shallow] + data.hidden).toarray(), before[shallow].toarray())
    np.testing.assert_array_equal(data.observed.X[~shallow].toarray(), before[~shallow].toarray())
    assert data.hidden.data.min() >= 1
    assert (before != cells.X).nnz == 0  # the cells given stay as they are
    assert list(cells.obs) == ["celltype"]


@pytest.mark.parametrize("keep", [0.2, 0.7])
def test_thinning_is_binomial(cells, keep):
    """Of every group of equal counts, the kept ones follow the binomial distribution (chi-square test)."""
    data = thin_half(cells, keep=keep, seed=0)
    shallow = (data.observed.obs["batch"] == SHALLOW).to_numpy()
    original, kept = (
        cells.X[shallow].toarray().ravel().astype(int),
        data.observed.X[shallow].toarray().ravel().astype(int),
    )
    assert abs(kept.sum() / original.sum() - keep) < 0.01
    for count in (1, 2, 3):
        found = np.bincount(kept[original == count], minlength=count + 1)
        expected = stats.binom.pmf(np.arange(count + 1), count, keep) * found.sum()
        assert stats.chisquare(found, expected).pvalue > 1e-4, count


def test_the_seed_decides(cells):
    first, same, other = (thin_half(cells, seed=seed).observed for seed in (1, 1, 2))
    assert (first.X != same.X).nnz == 0
    assert (first.X != other.X).nnz > 0
    assert not (first.obs["batch"] == other.obs["batch"]).all()
