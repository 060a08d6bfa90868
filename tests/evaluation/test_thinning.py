import numpy as np
from scipy import sparse, stats

from discern.evaluation.thinning import thin_cells


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
