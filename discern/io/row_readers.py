"""Matrices of cells x genes that are read some cells at a time, wherever they lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from scipy import sparse

from discern.io.raw_counts import dense_to_csr, slabs, to_csr, transposed_dense_to_csr

MAX_CELLS = 4096
MAX_VALUES = 2**22
_DENSE_VALUES = 2**23  # a dense slab is held as a whole before its zeros are left out


class RowReader(Protocol):
    """Rows of a matrix, which other processes can read too."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n_cells, n_genes)."""
        ...

    def blocks(self) -> list[tuple[int, int]]:
        """Return (start, stop) of consecutive slices of cells, each of which fits into little memory."""
        ...

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """Return some cells, (stop − start, n_genes), as :func:`~discern.io.raw_counts.to_csr` does."""
        ...


@dataclass(frozen=True)
class RowsInMemory:
    """Rows of a matrix in memory."""

    matrix: sparse.csr_matrix

    @property
    def shape(self) -> tuple[int, int]:
        """(n_cells, n_genes)."""
        return self.matrix.shape

    def blocks(self) -> list[tuple[int, int]]:
        """Return slices of few cells and few values."""
        return _blocks(self.matrix.indptr)

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """Return some cells; all of them share the memory of the matrix."""
        return self.matrix if (start, stop) == (0, self.shape[0]) else self.matrix[start:stop]


@dataclass(frozen=True)
class StoredSparseRows:
    """Rows of a sparse matrix in an HDF5 file whose arrays are ``data``, ``indices`` and ``indptr`` of the cells.

    Attributes:
        path: The file.
        group: The group of the arrays.
        stored_shape: Cells x columns of the matrix.
        columns: The columns that are genes; all when None.
    """

    path: Path
    group: str
    stored_shape: tuple[int, int]
    columns: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n_cells, n_genes)."""
        return self.stored_shape[0], self.stored_shape[1] if self.columns is None else len(self.columns)

    def blocks(self) -> list[tuple[int, int]]:
        """Return slices of few cells and few values."""
        with h5py.File(self.path, "r") as file:
            return _blocks(file[self.group]["indptr"][:])

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """Read some cells."""
        with h5py.File(self.path, "r") as file:
            group = file[self.group]
            indptr = group["indptr"][start : stop + 1].astype(np.int64)
            values = slice(int(indptr[0]), int(indptr[-1]))
            arrays = (group["data"][values], group["indices"][values], indptr - indptr[0])
        matrix = sparse.csr_matrix(arrays, shape=(stop - start, self.stored_shape[1]))
        matrix.check_format(full_check=True)  # scipy writes wherever the wrong index of a damaged file points to
        return to_csr(matrix if self.columns is None else matrix[:, self.columns])


@dataclass(frozen=True)
class StoredDenseRows:
    """Rows of a dense HDF5 dataset, or its columns when it is genes x cells.

    Attributes:
        path: The file.
        key: The dataset.
        stored_shape: Its shape.
        chunks: Shape of its chunks, or None.
        transposed: It is genes x cells.
    """

    path: Path
    key: str
    stored_shape: tuple[int, int]
    chunks: tuple[int, ...] | None = None
    transposed: bool = False

    @classmethod
    def of(cls, path: Path, dataset: h5py.Dataset, transposed: bool = False) -> "StoredDenseRows":
        """Return the reader of a dataset."""
        return cls(path, dataset.name, dataset.shape, dataset.chunks, transposed)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_cells, n_genes)."""
        first, second = self.stored_shape
        return (second, first) if self.transposed else (first, second)

    def blocks(self) -> list[tuple[int, int]]:
        """Return slices of cells that end where chunks of the dataset end."""
        chunk = self.chunks[int(self.transposed)] if self.chunks else 1
        n_cells, n_genes = self.shape
        size = max(1, min(MAX_CELLS, _DENSE_VALUES // max(1, n_genes)))
        return list(slabs(n_cells, size // chunk * chunk or size))

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """Read some cells."""
        with h5py.File(self.path, "r") as file:
            dataset = file[self.key]
            if (start, stop) == (0, self.shape[0]):
                return transposed_dense_to_csr(dataset) if self.transposed else dense_to_csr(dataset)
            return dense_to_csr(dataset[:, start:stop].T if self.transposed else dataset[start:stop])


@dataclass(frozen=True)
class StoredColumns:
    """A sparse matrix of cells x genes in an HDF5 file that is stored gene by gene: no cell can be read alone.

    Attributes:
        path: The file.
        group: The group of the arrays.
        shape: (n_cells, n_genes).
    """

    path: Path
    group: str
    shape: tuple[int, int]

    def blocks(self) -> list[tuple[int, int]]:
        """Return all cells as one slice: see :meth:`turned`."""
        return [(0, self.shape[0])]

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """Read the whole matrix and return some cells."""
        with h5py.File(self.path, "r") as file:
            group = file[self.group]
            matrix = sparse.csc_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), shape=self.shape)
        return to_csr(matrix.tocsr()[start:stop])

    def turned(self, folder: Path) -> "SpooledRows":
        """Write the values into one file for each slice of cells, in ``folder``, and return the reader of these.

        Memory does not grow with the number of values.
        """
        folder.mkdir(parents=True)
        cells_per_file = MAX_CELLS
        n_blocks = -(-self.shape[0] // cells_per_file)
        with h5py.File(self.path, "r") as file:
            group = file[self.group]
            indptr = group["indptr"][:].astype(np.int64)
            for start, stop in slabs(int(indptr[-1]), MAX_VALUES):
                entries = np.empty(stop - start, dtype=_ENTRY)
                entries["cell"] = group["indices"][start:stop]
                entries["gene"] = np.searchsorted(indptr, np.arange(start, stop), side="right") - 1
                entries["value"] = group["data"][start:stop]
                block = entries["cell"] // cells_per_file
                order = np.argsort(block, kind="stable")
                ends = np.searchsorted(block[order], np.arange(n_blocks), side="right")
                for number, part in enumerate(np.split(entries[order], ends[:-1])):
                    with _spool(folder, number).open("ab") as stream:
                        part.tofile(stream)
        return SpooledRows(folder, self.shape, cells_per_file)


_ENTRY = np.dtype([("cell", "<i8"), ("gene", "<i4"), ("value", "<f4")])


@dataclass(frozen=True)
class SpooledRows:
    """Rows of what :meth:`StoredColumns.turned` wrote."""

    folder: Path
    shape: tuple[int, int]
    cells_per_file: int

    def blocks(self) -> list[tuple[int, int]]:
        """Return the slices of cells that have a file of their own."""
        return list(slabs(self.shape[0], self.cells_per_file))

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """Read one of the slices."""
        spool = _spool(self.folder, start // self.cells_per_file)
        entries = (
            np.fromfile(spool, dtype=_ENTRY) if spool.exists() else np.empty(0, dtype=_ENTRY)
        )  # no cell has a value
        places = (entries["cell"] - start, entries["gene"])
        return to_csr(sparse.coo_matrix((entries["value"], places), shape=(stop - start, self.shape[1])))


def _spool(folder: Path, number: int) -> Path:
    return folder / f"cells-{number:05d}"


def _blocks(indptr: Any) -> list[tuple[int, int]]:
    """Return slices of at most ``MAX_CELLS`` cells and ``MAX_VALUES`` values (one cell may hold more)."""
    blocks, start, n_cells = [], 0, len(indptr) - 1
    while start < n_cells:
        full = int(np.searchsorted(indptr, int(indptr[start]) + MAX_VALUES, side="right")) - 1
        stop = min(start + MAX_CELLS, max(start + 1, full), n_cells)
        blocks.append((start, stop))
        start = stop
    return blocks
