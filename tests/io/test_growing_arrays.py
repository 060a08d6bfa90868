"""Arrays that grow on disk, read back by HDF5 itself."""

import h5py
import numpy as np
import pytest
from anndata.io import read_elem
from scipy import sparse

from discern.io.growing_arrays import ChunkWriter, GrowingArray, GrowingCSR, compressed


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "arrays.h5", "w") as file:
        yield file


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("discern.io.growing_arrays.CHUNK_VALUES", 60)


def sizes(total):
    """Sizes of pieces that do not divide the chunks."""
    while total:
        yield min(7, total)
        total -= min(7, total)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("repetitive", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("n_rows", [0, 1, 12, 97])
def test_hdf5_reads_what_was_appended(file, small_chunks, dtype, repetitive, n_threads, n_rows):
    values = (np.random.default_rng(0).random((n_rows, 5)) * 100).astype(dtype)
    with ChunkWriter(n_threads) as chunks:
        array = GrowingArray(file, "a", chunks, dtype=dtype, row_shape=(5,), repetitive=repetitive)
        start = 0
        for size in sizes(n_rows):
            array.append(values[start : start + size])
            start += size
        array.close()
        chunks.flush()
    assert (file["a"].dtype, file["a"].shape) == (np.dtype(dtype), (n_rows, 5))
    assert file["a"].chunks == (12, 5)
    assert (file["a"].compression, file["a"].shuffle) == ("gzip", True)
    np.testing.assert_array_equal(file["a"][:], values)


def test_appended_values_may_be_changed_at_once(file, small_chunks):
    with ChunkWriter(2) as chunks:
        array = GrowingArray(file, "a", chunks, dtype="float32", row_shape=(5,))
        buffer = np.empty((12, 5), np.float32)
        for number in range(20):
            buffer[:] = number
            array.append(buffer)
        array.close()
        chunks.flush()
    np.testing.assert_array_equal(file["a"][::12, 0], np.arange(20))


def test_few_chunks_wait_in_memory(file, small_chunks):
    with ChunkWriter(2) as chunks:
        array = GrowingArray(file, "a", chunks, dtype="float32")
        for _ in range(50):
            array.append(np.zeros(60, np.float32))
            assert len(chunks._waiting) <= 4
        chunks.flush()
        assert not chunks._waiting


def test_small_arrays_have_small_chunks(file):
    with ChunkWriter(1) as chunks:
        array = GrowingArray(file, "a", chunks, dtype="float32", row_shape=(3,), most_rows=4)
        array.append(np.ones((4, 3), np.float32))
        array.close()
        chunks.flush()
    assert file["a"].chunks == (4, 3)
    assert GrowingArray(file, "b", chunks, dtype="float32", row_shape=(10**6,))._dataset.chunks == (1, 10**6)


def test_estimates_get_smaller_without_a_search_for_repetitions():
    estimates = np.random.default_rng(0).gamma(2.0, 1.0, 2**16).astype(np.float32)
    assert len(compressed(estimates, repetitive=False)) < len(compressed(estimates, repetitive=True)) < estimates.nbytes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_rows_are_read_by_anndata(file, small_chunks, make_counts, dtype):
    matrix = make_counts(40, 30).astype(dtype)
    with ChunkWriter(2) as chunks:
        growing = GrowingCSR(file, "X", chunks, n_columns=30, most_values=matrix.nnz, dtype=dtype)
        for start in range(0, 40, 7):
            growing.append(matrix[start : start + 7])
        growing.close()
        chunks.flush()
    found = read_elem(file["X"])
    assert isinstance(found, sparse.csr_matrix)
    assert (found.shape, found.dtype, found.indices.dtype, found.indptr.dtype) == ((40, 30), dtype, "int32", "int32")
    assert (found != matrix).nnz == 0


def test_what_waits_is_dropped_after_an_error(file, small_chunks):
    with pytest.raises(OSError, match="disk full"), ChunkWriter(1) as chunks:
        GrowingArray(file, "a", chunks, dtype="float32").append(np.zeros(60, np.float32))
        raise OSError("disk full")
    assert not chunks._waiting
