"""How any matrix of counts becomes the one form used everywhere."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

PROTEIN_EXPRESSION = "protein_expression"
_SLAB_VALUES = 2**24


def to_csr(matrix: Any) -> sparse.csr_matrix:
    """Return a matrix, (n_rows, n_columns), as float32 CSR with sorted indices and no stored zero.

    The argument is never changed; its arrays are shared when they already have this form.
    """
    if not sparse.issparse(matrix):
        return dense_to_csr(np.asarray(matrix))
    result = sparse.csr_matrix(matrix.tocsr(), dtype=np.float32)
    if not (result.has_canonical_format and result.data.all()):
        if matrix.format == "csr":  # its arrays are shared, some or all
            result = result.copy()
        result.sum_duplicates()
        result.eliminate_zeros()
    return result


def dense_to_csr(values: Any) -> sparse.csr_matrix:
    """Return a dense array or HDF5 dataset as float32 CSR, read in slabs of rows."""
    n_rows, n_columns = values.shape
    size = max(1, _SLAB_VALUES // max(1, n_columns))
    return _stacked((values[start:stop] for start, stop in slabs(n_rows, size)), (n_rows, n_columns))


def transposed_dense_to_csr(values: Any) -> sparse.csr_matrix:
    """Return the transpose, (n_columns, n_rows), of a dense HDF5 dataset as float32 CSR, read in slabs of columns."""
    n_rows, n_columns = values.shape
    chunk = values.chunks[1] if values.chunks else 1
    size = max(1, _SLAB_VALUES // max(1, n_rows) // chunk) * chunk
    return _stacked((values[:, start:stop].T for start, stop in slabs(n_columns, size)), (n_columns, n_rows))


def chosen_columns(matrix: sparse.csr_matrix, columns: np.ndarray | None) -> sparse.csr_matrix:
    """Return some columns, (n_rows, n_chosen), with sorted indices; the matrix itself for None."""
    if columns is None:
        return matrix
    chosen = matrix[:, columns]
    chosen.sort_indices()
    return chosen


def slabs(total: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive slabs of at most ``size`` that cover ``total``."""
    for start in range(0, total, size):
        yield start, min(start + size, total)


def find_values(values: np.ndarray, is_hit: Callable[[np.ndarray], np.ndarray]) -> tuple[int, int]:
    """Return how many ``values``, (n,), are hits and the position of the first, -1 for none; little memory is used."""
    count, first = 0, -1
    for start, stop in slabs(len(values), _SLAB_VALUES // 4):
        hits = is_hit(values[start:stop])
        here = int(np.count_nonzero(hits))
        if here and first < 0:
            first = start + int(np.argmax(hits))
        count += here
    return count, first


def protein_table(values: Any, cells: pd.Index) -> pd.DataFrame:
    """Return protein counts, (n_cells, n_proteins), indexed by ``cells``; an array's columns are numbered."""
    if isinstance(values, pd.DataFrame):
        return values.set_axis(cells)
    dense = values.toarray() if sparse.issparse(values) else np.asarray(values)
    return pd.DataFrame(dense, index=cells, columns=[f"protein_{i}" for i in range(dense.shape[1])])


def _stacked(blocks: Iterable[np.ndarray], shape: tuple[int, int]) -> sparse.csr_matrix:
    parts = [sparse.csr_matrix(np.asarray(block, dtype=np.float32)) for block in blocks]
    return sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix(shape, dtype=np.float32)
