"""Compressed HDF5 arrays that grow along their first axis: chunks are compressed on threads and written as they are.

HDF5 itself compresses on one thread and searches for repetitions, of which estimates have none. Here the bytes of
numbers are shuffled as HDF5 does; those of estimates then get Huffman codes only, which is three times faster and
takes less space. Any program that reads HDF5 reads the result.
"""

import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from scipy import sparse

from discern.available_cpus import available_cpus

CHUNK_VALUES = 2**18  # 1 MB of float32, which the default cache of HDF5 holds
_MOST_THREADS = 8
_LARGEST_INT32 = np.iinfo(np.int32).max
_FILTERS = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


class ChunkWriter:
    """Compresses chunks on threads and writes them in the order they came; few wait in memory.

    Use as a context manager around all files it writes to.
    """

    def __init__(self, n_threads: int | None = None):
        """Start no thread yet.

        Args:
            n_threads: Threads that compress; those of this machine, at most eight, when None.
        """
        self._n_threads = n_threads or min(available_cpus(), _MOST_THREADS)
        self._pool = ThreadPoolExecutor(self._n_threads, thread_name_prefix="compress")
        self._waiting: deque[tuple[h5py.Dataset, tuple[int, ...], Future[bytes]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._waiting.clear()  # after an error; else every file has flushed
        self._pool.shutdown(cancel_futures=True)

    def put(self, dataset: h5py.Dataset, offset: tuple[int, ...], chunk: np.ndarray, repetitive: bool) -> None:
        """Compress a whole chunk and write it some time before :meth:`flush` returns.

        Args:
            dataset: Where it belongs.
            offset: Position of its first value.
            chunk: Its values, not to be changed any more.
            repetitive: Search for repetitions.
        """
        while len(self._waiting) >= 2 * self._n_threads:
            self._write_oldest()
        self._waiting.append((dataset, offset, self._pool.submit(compressed, chunk, repetitive)))

    def flush(self) -> None:
        """Write what waits."""
        while self._waiting:
            self._write_oldest()

    def _write_oldest(self) -> None:
        dataset, offset, content = self._waiting.popleft()
        dataset.id.write_direct_chunk(offset, content.result())


def compressed(chunk: np.ndarray, repetitive: bool) -> bytes:
    """Return a chunk as the HDF5 filters shuffle and gzip store it.

    Args:
        chunk: Values of any number type, contiguous.
        repetitive: Search for repetitions; else Huffman codes only.
    """
    shuffled = chunk.reshape(-1).view(np.uint8).reshape(-1, chunk.itemsize).T.tobytes()
    strategy = zlib.Z_DEFAULT_STRATEGY if repetitive else zlib.Z_HUFFMAN_ONLY
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, strategy)
    return deflate.compress(shuffled) + deflate.flush()


class GrowingArray:
    """An array on disk, (n_rows, ...), that rows are appended to; read it after :meth:`close` and a flush."""

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        chunks: ChunkWriter,
        *,
        dtype: Any,
        row_shape: tuple[int, ...] = (),
        most_rows: int | None = None,
        repetitive: bool = True,
    ):
        """Create the array, without rows.

        Args:
            group: Where it is created.
            name: Its name there.
            chunks: Compresses and writes.
            dtype: Type of the values.
            row_shape: Shape of one row.
            most_rows: A number of rows that will not be exceeded, when known; it keeps the chunks of small arrays small.
            repetitive: Search for repetitions when compressing.
        """
        rows = max(1, CHUNK_VALUES // max(1, int(np.prod(row_shape))))
        rows = rows if most_rows is None else max(1, min(rows, most_rows))
        self._dataset = group.create_dataset(
            name, (0, *row_shape), dtype, maxshape=(None, *row_shape), chunks=(rows, *row_shape), **_FILTERS
        )
        self._dataset.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        self._chunks, self._repetitive = chunks, repetitive
        self._buffer = np.zeros((rows, *row_shape), dtype)
        self._filled = 0
        self.n_rows = 0

    def append(self, values: np.ndarray) -> None:
        """Append rows, (n, ...)."""
        while len(values):
            taken = min(len(self._buffer) - self._filled, len(values))
            self._buffer[self._filled : self._filled + taken] = values[:taken]
            self._filled += taken
            self.n_rows += taken
            values = values[taken:]
            if self._filled == len(self._buffer):
                self._put(self._repetitive)

    def close(self) -> None:
        """Hand over the last chunk, which zeros fill up."""
        if self._filled:
            self._put(repetitive=True)

    def _put(self, repetitive: bool) -> None:
        self._dataset.resize(self.n_rows, axis=0)
        offset = (self.n_rows - self._filled, *(0 for _ in self._buffer.shape[1:]))
        self._chunks.put(self._dataset, offset, self._buffer, repetitive)
        self._buffer, self._filled = np.zeros_like(self._buffer), 0


class GrowingCSR:
    """A CSR matrix on disk that rows are appended to, as anndata stores it."""

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        chunks: ChunkWriter,
        *,
        n_columns: int,
        most_values: int,
        dtype: Any = np.float32,
        repetitive: bool = True,
    ):
        """Create the matrix, without rows.

        Args:
            group: Where it is created.
            name: Its name there.
            chunks: Compresses and writes.
            n_columns: Number of columns.
            most_values: A number of values that will not be exceeded; it decides the type of the index arrays.
            dtype: Type of the values.
            repetitive: The values repeat, as measured ones do.
        """
        self._group = group.create_group(name)
        self._group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        self._n_columns = n_columns
        # both index arrays of one type, or scipy's in-place operations refuse the matrix
        index_dtype = np.int64 if max(most_values, n_columns) > _LARGEST_INT32 else np.int32
        self._data = GrowingArray(self._group, "data", chunks, dtype=dtype, repetitive=repetitive)
        self._indices = GrowingArray(self._group, "indices", chunks, dtype=index_dtype)
        self._indptr = GrowingArray(self._group, "indptr", chunks, dtype=index_dtype)
        self._indptr.append(np.zeros(1, index_dtype))

    def append(self, rows: sparse.csr_matrix) -> None:
        """Append rows, (n, n_columns)."""
        self._indptr.append(rows.indptr[1:].astype(np.int64) + self._data.n_rows)
        self._indices.append(rows.indices)
        self._data.append(rows.data)

    def close(self) -> None:
        """Hand over the last chunks and record the shape."""
        self._group.attrs["shape"] = np.array([self._indptr.n_rows - 1, self._n_columns], np.int64)
        for array in (self._data, self._indices, self._indptr):
            array.close()
