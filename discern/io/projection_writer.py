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
from anndata.io import write_elem
from scipy import sparse

from discern.io.growing_arrays import ChunkWriter, GrowingArray, GrowingCSR
from discern.io.hdf5_files import hdf5_to_write
from discern.io.matrix_rows import Rows
from discern.io.whole_files import replacing_file


class ProjectionWriter:
    """An h5ad that grows by slices of cells; it appears under its name when it is whole.

    Use as a context manager. X is CSR; layers and obsm are dense; all are chunked by cells and compressed.
    """

    def __init__(
        self,
        path: Path,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        uns: Mapping[str, Any],
        chunks: ChunkWriter,
        *,
        varm: Mapping[str, Any] | None = None,
    ):
        """Remember what is written at once.

        Args:
            path: The file.
            obs: Annotation of all cells.
            var: Annotation of the genes of X and layers.
            uns: Unstructured annotation.
            chunks: Compresses and writes; may serve several files.
            varm: Tables of the genes of X and layers.
        """
        self._path, self._chunks = path, chunks
        self._annotation = {"obs": obs, "var": var, "uns": dict(uns), "varm": dict(varm or {})}
        self._shape = (len(obs), len(var))
        self._stack = ExitStack()
        self._file: h5py.File | None = None
        self._written = 0
        self._raw: GrowingCSR | None = None
        self._expression: GrowingCSR | None = None
        self._dense: dict[str, GrowingArray] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing_file(self._path))
            anndata.AnnData(**self._annotation).write_h5ad(temporary)
            file = stack.enter_context(hdf5_to_write(temporary))
            if "X" in file:
                del file["X"]
            self._file, self._stack = file, stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:  # removes the file when the last pieces cannot be written
            if self._written != self._shape[0]:
                raise RuntimeError(f"{self._path}: {self._written} of {self._shape[0]} cells were written")
            for array in (self._raw, self._expression, *self._dense.values()):
                if array is not None:
                    array.close()
            self._chunks.flush()

    def start_raw(self, var: pd.DataFrame, expression: Rows) -> None:
        """Prepare ``raw``: the input as it was.

        Args:
            var: Annotation of its genes.
            expression: What it will hold; :meth:`append` takes its slices.
        """
        raw = self._open.create_group("raw")
        raw.attrs.update({"encoding-type": "raw", "encoding-version": "0.1.0"})
        write_elem(raw, "var", var)
        write_elem(raw, "varm", {})
        self._raw = GrowingCSR(
            raw,
            "X",
            self._chunks,
            n_columns=len(var),
            most_values=expression.most_values,
            dtype=expression.dtype,
        )

    def write_obsm(self, name: str, value: Any) -> None:
        """Write something known of every cell, at once: a table, an array, or an element of another HDF5 file."""
        if isinstance(value, h5py.Group | h5py.Dataset):
            value.file.copy(value, self._open["obsm"], name)
        else:
            write_elem(self._open["obsm"], name, value)

    def append(
        self,
        expression: sparse.csr_matrix | None,
        layers: Mapping[str, np.ndarray],
        obsm: Mapping[str, np.ndarray],
        raw: sparse.csr_matrix | None = None,
    ) -> None:
        """Append neighbouring cells, always with the same parts.

        Args:
            expression: X, (n_cells, n_genes); None for a file without X.
            layers: Dense layers, (n_cells, n_genes) each.
            obsm: Dense embeddings, (n_cells, n_dimensions) each; there is at least one.
            raw: The input, after :meth:`start_raw`.
        """
        if expression is not None:
            self._expression = self._expression or self._new_expression()
            self._expression.append(expression)
        if self._raw is not None and raw is not None:
            self._raw.append(raw)
        for group, arrays in (("layers", layers), ("obsm", obsm)):
            for name, array in arrays.items():
                self._growing(f"{group}/{name}", array).append(array)
        self._written += len(next(iter(obsm.values())))

    def _new_expression(self) -> GrowingCSR:
        most, n_genes = self._shape[0] * self._shape[1], self._shape[1]
        return GrowingCSR(self._open, "X", self._chunks, n_columns=n_genes, most_values=most, repetitive=False)

    def _growing(self, name: str, like: np.ndarray) -> GrowingArray:
        if name not in self._dense:
            self._dense[name] = GrowingArray(
                self._open,
                name,
                self._chunks,
                dtype=like.dtype,
                row_shape=like.shape[1:],
                most_rows=self._shape[0],
                repetitive=False,
            )
        return self._dense[name]

    @property
    def _open(self) -> h5py.File:
        if self._file is None:
            raise RuntimeError("ProjectionWriter must be used as a context manager")
        return self._file
