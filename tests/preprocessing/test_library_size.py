import numpy as np

from discern.preprocessing.library_size import library_sizes, normalise_library_size
from discern.preprocessing.row_chunks import row_chunks


def test_row_sums(counts):
    sizes = library_sizes(row_chunks(counts, 7))
    assert sizes.dtype == np.float32
    assert (sizes == counts.toarray().sum(axis=1)).all()


def test_every_cell_gets_the_same_total(counts):
    sizes = library_sizes(row_chunks(counts))
    normalised = normalise_library_size(counts, sizes, 5000.0)
    dense = counts.toarray().astype(np.float64)
    np.testing.assert_allclose(normalised.toarray(), dense * 5000 / dense.sum(axis=1, keepdims=True), rtol=1e-6)
    assert normalised.dtype == np.float32
    assert np.shares_memory(normalised.indices, counts.indices)


def test_without_target_the_counts_are_copied(counts):
    copied = normalise_library_size(counts, library_sizes(row_chunks(counts)), None)
    assert (copied.toarray() == counts.toarray()).all()
    assert not np.shares_memory(copied.data, counts.data)
