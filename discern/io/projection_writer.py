"""Writing projected cells piece by piece, so that memory does not grow with the number of cells."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from discern.io.whole_files import replacing_file

_LARGEST_INT32 = np.iinfo(np.int32).max
_COMPRESSION = {"compression": "gzip", "compression_opts": 1}


class ProjectionWriter:
    """An h5ad that grows by slices of cells; it appears under its name when it is whole.

    Use as a context manager. X is CSR; layers and obsm are dense float32, chunked by cells and compressed.
    """

    def __init__(self, path: Path, obs: pd.DataFrame, var: pd.DataFrame, uns: Mapping[str, Any]):
        """Remember what is written at once.

        Args:
            path: The file.
            obs: Annotation of all cells.
            var: Gene annotation.
            uns: Unstructured annotation.
        """
        self._path = path
        self._shape = (len(obs), len(var))
        self._annotation = anndata.AnnData(obs=obs, var=var, uns=dict(uns))
        self._stack = ExitStack()
        self._file: h5py.File | None = None
        self._written = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing_file(self._path))
            self._annotation.write_h5ad(temporary)
            file = stack.enter_context(h5py.File(temporary, "r+"))
            if "X" in file:
                del file["X"]
            empty = sparse.csr_matrix((0, self._shape[1]), dtype=np.float32)
            # both index arrays of one type, or scipy's in-place operations refuse the matrix
            index = np.int64 if self._shape[0] * self._shape[1] > _LARGEST_INT32 else np.int32
            empty.indices, empty.indptr = empty.indices.astype(index), empty.indptr.astype(index)
            write_elem(file, "X", empty, dataset_kwargs={"chunks": (65536,), "indptr_dtype": index, **_COMPRESSION})
            self._file, self._stack = file, stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._written != self._shape[0]:
            error = RuntimeError(f"{self._path}: {self._written} of {self._shape[0]} cells were written")
            self._stack.__exit__(RuntimeError, error, None)
            raise error
        self._stack.__exit__(kind, error, traceback)

    def write_raw(self, expression: sparse.csr_matrix, var: pd.DataFrame) -> None:
        """Write ``raw``: the input as it was."""
        raw = self._open.create_group("raw")
        write_elem(raw, "X", expression, dataset_kwargs=_COMPRESSION)
        write_elem(raw, "var", var)
        write_elem(raw, "varm", {})
        raw.attrs.update({"encoding-type": "raw", "encoding-version": "0.1.0"})

    def append(
        self, expression: sparse.csr_matrix, layers: Mapping[str, np.ndarray], obsm: Mapping[str, np.ndarray]
    ) -> None:
        """Append neighbouring cells.

        Args:
            expression: X, (n_cells, n_genes).
            layers: Dense layers, (n_cells, n_genes) each.
            obsm: Dense embeddings, (n_cells, n_dimensions) each.
        """
        sparse_dataset(self._open["X"]).append(expression)
        end = self._written + expression.shape[0]
        for group, arrays in (("layers", layers), ("obsm", obsm)):
            for name, array in arrays.items():
                self._dataset(group, name, array.shape[1])[self._written : end] = array
        self._written = end

    def _dataset(self, group: str, name: str, width: int) -> h5py.Dataset:
        if name not in self._open[group]:
            rows = max(1, min(self._shape[0], 1_000_000 // max(width, 1)))
            dataset = self._open[group].create_dataset(
                name, (self._shape[0], width), dtype=np.float32, chunks=(rows, width), **_COMPRESSION
            )
            dataset.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        return self._open[group][name]

    @property
    def _open(self) -> h5py.File:
        if self._file is None:
            raise RuntimeError("ProjectionWriter must be used as a context manager")
        return self._file
