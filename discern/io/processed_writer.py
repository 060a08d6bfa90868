"""Writing processed data piece by piece, so that memory does not grow with the number of cells."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from anndata import AnnData
from scipy import sparse

from discern.io.cell_store import CellStore
from discern.io.whole_files import replacing_file
from discern.keys import COUNTS
from discern.progress import progress

_CHUNK_VALUES = 2**16
_LARGEST_INT32 = np.iinfo(np.int32).max
_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def write_processed(
    annotation: AnnData, store: CellStore, to_expression: Callable[[sparse.csr_matrix], sparse.csr_matrix], path: Path
) -> None:
    """Write an h5ad with the stored counts in ``layers["counts"]`` and the expression made of them in X.

    Args:
        annotation: Everything else of the file.
        store: The counts, (n_cells, n_genes).
        to_expression: Makes X of raw counts, cell by cell.
        path: The file; it appears when it is whole.
    """
    with replacing_file(path) as temporary:
        annotation.write_h5ad(temporary)
        with h5py.File(temporary, "r+") as file, progress("Writing processed data, piece", len(store.pieces)) as report:
            for key in ("X", f"layers/{COUNTS}"):
                if key in file:
                    del file[key]
            expression = _GrowingMatrix(file, "X", store)
            counts = _GrowingMatrix(file, f"layers/{COUNTS}", store)
            for number, piece in enumerate(store.pieces, start=1):
                cells = piece.read()
                counts.append(cells)
                expression.append(to_expression(cells))
                report(number)


class _GrowingMatrix:
    """A CSR matrix in an HDF5 file, as AnnData writes it, that is filled from the first cell to the last."""

    def __init__(self, file: h5py.File, key: str, store: CellStore):
        group = file.create_group(key)
        shape = (store.n_cells, store.n_genes)
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
        # both index arrays of one type, or scipy's in-place operations refuse the matrix
        index = np.dtype(np.int32 if max(store.n_values, *shape) <= _LARGEST_INT32 else np.int64)
        chunks = (min(_CHUNK_VALUES, max(1, store.n_values)),)
        self._data = group.create_dataset("data", (store.n_values,), np.float32, chunks=chunks, **_COMPRESSION)
        self._indices = group.create_dataset("indices", (store.n_values,), index, chunks=chunks, **_COMPRESSION)
        self._indptr = group.create_dataset("indptr", (store.n_cells + 1,), index, chunks=True, **_COMPRESSION)
        self._n_cells, self._n_values = 0, 0

    def append(self, cells: sparse.csr_matrix) -> None:
        """Write the next cells, (any, n_genes)."""
        values = slice(self._n_values, self._n_values + cells.nnz)
        self._data[values] = cells.data
        self._indices[values] = cells.indices
        self._indptr[self._n_cells + 1 : self._n_cells + 1 + cells.shape[0]] = (
            cells.indptr[1:].astype(np.int64) + self._n_values
        )
        self._n_cells, self._n_values = self._n_cells + cells.shape[0], values.stop
