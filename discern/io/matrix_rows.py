"""Rows of a matrix in memory or on disk, read a slice of cells at a time."""

import logging
from typing import Any, Protocol, cast

import h5py
import numpy as np
from anndata.io import read_elem
from scipy import sparse

from discern.errors import DataError
from discern.io.checksums import UNREADABLE
from discern.io.raw_counts import chosen_columns

_CELLS_AT_ONCE = 1024
_FEW = 16  # fewer than one cell in so many: to read all of them would take longer
_LOGGER = logging.getLogger(__name__)


class Rows(Protocol):
    """A matrix that gives slices of its rows.

    Attributes:
        shape: (n_cells, n_genes).
        dtype: Type of its values.
        most_values: At least the number of values that all rows hold together.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    most_values: int

    def __getitem__(self, cells: slice) -> sparse.csr_matrix:
        """Return neighbouring rows, (n_cells, n_genes)."""
        ...


def rows_of(matrix: Any) -> Rows:
    """Return access to a matrix by rows: sparse or dense, in memory or an element of an open HDF5 file.

    What HDF5 holds by rows, CSR or dense, stays there. CSC is read whole: its rows are spread over all of it.
    """
    if isinstance(matrix, h5py.Group):
        kind = matrix.attrs.get("encoding-type", matrix.attrs.get("h5sparse_format"))
        if kind in ("csr_matrix", "csr"):
            return StoredRows(matrix)
        _LOGGER.warning("%s of %s is not stored by cells, so it is read whole.", matrix.name, matrix.file.filename)
        return MemoryRows(sparse.csr_matrix(read_elem(matrix)))
    if isinstance(matrix, h5py.Dataset | np.ndarray):
        return DenseRows(matrix)
    return MemoryRows(matrix if isinstance(matrix, sparse.csr_matrix) else sparse.csr_matrix(matrix))


def rows_at(rows: Rows, positions: np.ndarray) -> sparse.csr_matrix:
    """Read single rows, CSR (n_positions, n_genes); at most 1,024 cells are read at once.

    Where few of them are wanted, they are read one by one.

    Args:
        rows: A matrix by rows, in memory or on disk.
        positions: Which, in any order; they are read in ascending order, every slice once.
    """
    order = np.argsort(positions, kind="stable")
    ascending = positions[order]
    slices = ascending // _CELLS_AT_ONCE
    pieces = []
    for one in np.unique(slices):
        start = int(one) * _CELLS_AT_ONCE
        stop = min(start + _CELLS_AT_ONCE, rows.shape[0])
        chosen = ascending[slices == one]
        if len(chosen) * _FEW < stop - start:
            pieces += [rows[slice(row, row + 1)] for row in chosen]
        else:
            pieces.append(rows[slice(start, stop)][chosen - start])
    if not pieces:
        return sparse.csr_matrix((0, rows.shape[1]), dtype=np.float32)
    found = sparse.vstack(pieces, format="csr")
    return found if (order[:-1] < order[1:]).all() else found[np.argsort(order)]


class MemoryRows:
    """Rows of a CSR matrix in memory."""

    def __init__(self, matrix: sparse.csr_matrix):
        """Share the matrix, (n_cells, n_genes)."""
        self._matrix = matrix
        self.shape, self.dtype, self.most_values = matrix.shape, matrix.dtype, matrix.nnz

    def __getitem__(self, cells: slice) -> sparse.csr_matrix:
        """Return neighbouring rows."""
        return self._matrix[cells]


class DenseRows:
    """Rows of a dense array or HDF5 dataset."""

    def __init__(self, values: np.ndarray | h5py.Dataset):
        """Share the values, (n_cells, n_genes)."""
        self._values = values
        self.shape, self.dtype, self.most_values = values.shape, values.dtype, int(np.prod(values.shape))

    def __getitem__(self, cells: slice) -> sparse.csr_matrix:
        """Return neighbouring rows.

        Raises:
            DataError: The file is damaged there.
        """
        try:
            return sparse.csr_matrix(self._values[cells])
        except OSError as error:
            stored = cast(h5py.Dataset, self._values)
            raise DataError(
                f"{stored.file.filename} is damaged: cells of {stored.name} cannot be read ({error})."
            ) from error


class StoredRows:
    """Rows of a CSR matrix in an open HDF5 file; only where each row begins is held in memory."""

    def __init__(self, group: h5py.Group):
        """Read where the rows begin.

        Args:
            group: ``data``, ``indices``, ``indptr`` and the attribute ``shape``.
        """
        self._file, self._name = group.file.filename, group.name
        self._data, self._indices = group["data"], group["indices"]
        self._starts = group["indptr"][:].astype(np.int64)
        shape = group.attrs["shape"] if "shape" in group.attrs else group.attrs["h5sparse_shape"]
        self.shape = (int(shape[0]), int(shape[1]))
        self.dtype, self.most_values = self._data.dtype, len(self._data)

    def __getitem__(self, cells: slice) -> sparse.csr_matrix:
        """Read neighbouring rows.

        Raises:
            DataError: The file is damaged there.
        """
        start, stop, _ = cells.indices(self.shape[0])
        bounds = self._starts[start : stop + 1]
        entries = slice(int(bounds[0]), int(bounds[-1]))
        try:
            values = (self._data[entries], self._indices[entries], bounds - bounds[0])
            rows = sparse.csr_matrix(values, shape=(stop - start, self.shape[1]))
            rows.check_format(full_check=True)  # scipy writes wherever a wrong index points to
            return rows
        except UNREADABLE as error:
            raise DataError(
                f"{self._file} is damaged: cells {start} to {stop} of {self._name} cannot be read ({error})."
            ) from error


class SelectedColumns:
    """Rows of another matrix with its columns chosen or in another order."""

    def __init__(self, rows: Rows, columns: np.ndarray):
        """Remember what is chosen.

        Args:
            rows: The other matrix.
            columns: Which of its columns to take, in this order, int (n_genes,).
        """
        self._rows, self._columns = rows, columns
        self.shape, self.dtype, self.most_values = (rows.shape[0], len(columns)), rows.dtype, rows.most_values

    def __getitem__(self, cells: slice) -> sparse.csr_matrix:
        """Return neighbouring rows, indices sorted."""
        return chosen_columns(self._rows[cells], self._columns)
