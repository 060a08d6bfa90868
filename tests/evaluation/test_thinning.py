import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse, stats

from discern.errors import DataError
from discern.evaluation.thinning import HIDDEN, thin_cells, thin_half_of_batch


def thin_all_at_once(counts, chosen, keep, rng):
    """Thin with every entry of all cells in hand; the draws are the same."""
    of_chosen = np.repeat(chosen, np.diff(counts.indptr))
    left = counts.copy()
    left.data[of_chosen] = rng.binomial(counts.data[of_chosen].astype(np.int64), keep)
    taken = sparse.csr_matrix((counts.data - left.data, counts.indices.copy(), counts.indptr.copy()), counts.shape)
    left.eliminate_zeros()
    taken.eliminate_zeros()
    return left, taken


def test_what_is_left_and_what_was_taken_are_the_counts():
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(2.0, (40, 30)).astype(np.float32))
    before = counts.toarray()
    chosen = np.arange(40) % 2 == 0
    left, taken = thin_cells(counts, chosen, 0.3, np.random.default_rng(1))
    np.testing.assert_array_equal((left + taken).toarray(), before)
    np.testing.assert_array_equal(counts.toarray(), before)
    assert taken[~chosen].nnz == 0
    assert (left.data > 0).all()
    assert (taken.data > 0).all()


def test_counts_are_kept_as_coins_fall():
    counts = sparse.csr_matrix(np.full((200, 20), 6.0))
    left, _ = thin_cells(counts, np.ones(200, bool), 0.3, np.random.default_rng(0))
    seen = np.bincount(left.toarray().ravel().astype(int), minlength=7)
    expected = stats.binom.pmf(np.arange(7), 6, 0.3) * 4000
    assert stats.chisquare(np.r_[seen[:5], seen[5:].sum()], np.r_[expected[:5], expected[5:].sum()]).pvalue > 0.01


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_the_same_seed_thins_to_the_same_bits(form, dtype):
    values = np.random.default_rng(0).poisson(0.8, (50, 30))
    batches = np.array(["deep", "poor"] * 25)
    names = pd.DataFrame(index=[str(cell) for cell in range(50)])
    counts = AnnData(form(values.astype(dtype)), obs=names)
    before = counts.X.copy()
    made = thin_half_of_batch(counts, batches, "deep", "deep (thinned)", 0.4, np.random.default_rng(3))

    rng, of_deep = np.random.default_rng(3), np.flatnonzero(batches == "deep")
    chosen = np.zeros(50, dtype=bool)
    chosen[rng.permutation(of_deep)[:12]] = True
    expected = thin_all_at_once(sparse.csr_matrix(values.astype(np.float32)), chosen, 0.4, rng)
    np.testing.assert_array_equal((made.obs["batch"] == "deep (thinned)").to_numpy(), chosen)
    for matrix, slow in zip((made.X, made.layers[HIDDEN]), expected, strict=True):
        assert matrix.dtype == np.float32
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(matrix, part), getattr(slow, part))
    assert abs(counts.X - before).max() == 0


@pytest.mark.parametrize("wrong", [0.37, 2.5, -1.0, np.nan, np.inf])
def test_what_is_no_count_is_refused(wrong):
    values = np.random.default_rng(0).poisson(2.0, (10, 5)).astype(np.float64)
    values[4, 2] = wrong
    chosen = np.arange(10) == 4
    with pytest.raises(DataError, match=rf"1 of the \d values to thin are no counts: received {wrong:.6g}.*--thin"):
        thin_cells(sparse.csr_matrix(values), chosen, 0.5, np.random.default_rng(0))
    left, _ = thin_cells(sparse.csr_matrix(values), ~chosen, 0.5, np.random.default_rng(0))
    np.testing.assert_array_equal(left.toarray()[4], values[4])
