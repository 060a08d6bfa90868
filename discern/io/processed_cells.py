"""Processed cells whose annotation is in memory and whose matrices are read a slice of cells at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem

from discern.errors import DataError, ExperimentError
from discern.io.batch_labels import batch_names
from discern.io.data import DISCERNData, reading_processed, require_preprocessed
from discern.io.experiment_folder import ExperimentFolder
from discern.io.matrix_rows import Rows, SelectedColumns, rows_at, rows_of
from discern.io.measured_genes import GenePanels
from discern.io.processed_config import plain
from discern.io.processed_counts import require_counts, require_library_size
from discern.io.raw_counts import PROTEIN_EXPRESSION
from discern.io.transform import InputTransform
from discern.keys import BATCH, COUNTS, DISCERN, FIXED_SCALING, MEASURED

_CHUNK_CACHE_BYTES = 2**24  # for each matrix; whatever its chunks, none is decompressed for every slice of cells


class ProcessedCells:
    """What projection reads of processed cells, wherever they are.

    Attributes:
        obs: Annotation of the cells.
        var: Annotation of the genes.
        uns: What preprocessing recorded: ``DISCERN`` and, where expression is scaled, ``fixed_scaling``.
        batch_size: Cells per minibatch.
        proteins: ``obsm["protein_expression"]``, a table or an element of an open HDF5 file; None when absent.
        measured: ``varm["measured"]``, which data sets measured which genes; None when absent.
    """

    def __init__(
        self,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        uns: Mapping[str, Any],
        matrices: Mapping[str, Any],
        *,
        batch_size: int,
        proteins: Any = None,
        measured: pd.DataFrame | None = None,
    ):
        """Share annotation and matrices.

        Args:
            obs: Annotation of the cells; the batches are categorical.
            var: Annotation of the genes.
            uns: What preprocessing recorded.
            matrices: ``X`` and ``counts``, each in memory or an element of an open HDF5 file; absent ones are None.
            batch_size: Cells per minibatch.
            proteins: Protein expression.
            measured: Which data sets measured which genes; all measured all when None.
        """
        self.obs, self.var, self.uns = obs, var, uns
        self.batch_size, self.proteins, self.measured = batch_size, proteins, measured
        self._matrices = matrices
        self._columns: np.ndarray | None = None  # which of the matrices are read, in this order; as they are when None

    @classmethod
    def of(cls, data: "DISCERNData | ProcessedCells") -> "ProcessedCells":
        """Return cells in memory in the same form; nothing is copied unless counts or X must become CSR."""
        if isinstance(data, ProcessedCells):
            return data
        uns = {key: plain(data.uns[key]) for key in (DISCERN, FIXED_SCALING) if key in data.uns}
        matrices = {"X": data.X, COUNTS: data.layers.get(COUNTS)}
        tables = {"proteins": data.obsm.get(PROTEIN_EXPRESSION), "measured": data.varm.get(MEASURED)}
        return cls(data.obs, data.var, uns, matrices, batch_size=data.batch_size, **tables)

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.obs)

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return len(self.var)

    @property
    def var_names(self) -> pd.Index:
        """Names of the genes."""
        return self.var.index

    @property
    def batches(self) -> list[str]:
        """Batch names in the order of the label columns."""
        return batch_names(self.obs)

    @property
    def transform(self) -> InputTransform:
        """From raw counts to the scaled expression a DISCERN network reads."""
        return InputTransform.scaled_log_expression(self.var, dict(self.uns))

    @property
    def library_size(self) -> np.ndarray:
        """Total count of every cell, (n_cells,)."""
        return require_library_size(self.obs)

    @cached_property
    def panels(self) -> GenePanels | None:
        """Which genes were measured in which cells; None when all were in all.

        Raises:
            DataError: The table of measured genes does not fit the genes and cells.
        """
        return GenePanels.of(self.obs, self.measured, self.var_names)

    def measured_varm(self, genes: np.ndarray | None = None) -> dict[str, pd.DataFrame]:
        """Return ``varm`` of a file of these cells: the table of measured genes where data sets lack some, or nothing.

        Args:
            genes: Positions of the genes of that file; all when None.

        Raises:
            DataError: The table of measured genes does not fit the genes and cells.
        """
        if self.measured is None or self.panels is None:
            return {}
        table = self.measured if genes is None else self.measured.iloc[genes]
        lacking = [name for name in table.columns if not table[name].all()]
        return {MEASURED: table[lacking]} if lacking else {}

    @cached_property
    def counts(self) -> Rows:
        """Raw counts.

        Raises:
            DataError: There are none.
        """
        if self._matrices[COUNTS] is None:
            require_counts(None, "The data")
        return self._rows(self._matrices[COUNTS])

    @cached_property
    def expression(self) -> Rows:
        """X, log1p of library-size-normalised counts.

        Raises:
            DataError: There is none.
        """
        if self._matrices["X"] is None:
            raise DataError("The data holds no X, so it cannot be kept as raw. Leave it out with --no-raw.")
        return self._rows(self._matrices["X"])

    def _rows(self, matrix: Any) -> Rows:
        try:
            rows = rows_of(matrix)
        except Exception as error:  # of any class: anndata has some of its own
            where = f"{matrix.name} of {matrix.file.filename}" if isinstance(matrix, h5py.HLObject) else "A matrix"
            raise DataError(f"{where} is damaged: it cannot be read ({error}).") from error
        return rows if self._columns is None else SelectedColumns(rows, self._columns)

    def with_genes(self, genes: Sequence[str]) -> "ProcessedCells":
        """Return the same cells with these of their genes, in this order; matrices are not read."""
        order = self.var_names.get_indexer(list(genes))
        chosen = ProcessedCells(
            self.obs,
            self.var.iloc[order],
            self.uns,
            self._matrices,
            batch_size=self.batch_size,
            proteins=self.proteins,
            measured=None if self.measured is None else self.measured.iloc[order],
        )
        chosen._columns = order if self._columns is None else self._columns[order]
        return chosen

    def sample(self, n_cells: int, seed: int = 0) -> DISCERNData:
        """Return at most ``n_cells`` random cells in memory, in their order, with raw counts and without X."""
        chosen = np.arange(self.n_obs)
        if n_cells < self.n_obs:
            chosen = np.sort(np.random.default_rng(seed).choice(chosen, n_cells, replace=False))
        return self.at(chosen, with_expression=False)

    def at(self, positions: np.ndarray, *, with_expression: bool = True) -> DISCERNData:
        """Return some of the cells in memory, with raw counts.

        Args:
            positions: Which, ascending.
            with_expression: Also read X.
        """
        adata = AnnData(
            rows_at(self.expression, positions) if with_expression else None,
            obs=self.obs.iloc[positions].copy(),
            var=self.var.copy(),
            uns=dict(self.uns),
            varm={} if self.measured is None else {MEASURED: self.measured},
            layers={COUNTS: rows_at(self.counts, positions)},
        )
        return DISCERNData(adata, self.batch_size)


@contextmanager
def open_cells(path: Path, batch_size: int) -> Iterator[ProcessedCells]:
    """Open an h5ad that preprocessing wrote; the matrices are read while the block lasts.

    Args:
        path: The file.
        batch_size: Cells per minibatch.

    Raises:
        DataError: The file is absent, unreadable, or was not written by preprocessing.
    """
    with ExitStack() as stack:
        with reading_processed(path):
            file = stack.enter_context(h5py.File(path, "r", rdcc_nbytes=_CHUNK_CACHE_BYTES))
            cells = _annotated(file, path, batch_size)
        yield cells


@contextmanager
def open_own_cells(folder: ExperimentFolder, batch_size: int) -> Iterator[ProcessedCells]:
    """Open the processed cells of an experiment folder; see :func:`open_cells`.

    Raises:
        ExperimentError: The folder holds no processed data.
    """
    if not folder.processed_file.is_file():
        raise ExperimentError(f"{folder.processed_file} does not exist. Run `discern process` first.")
    with open_cells(folder.processed_file, batch_size) as cells:
        yield cells


def _annotated(file: h5py.File, path: Path, batch_size: int) -> ProcessedCells:
    if not isinstance(file["obs"], h5py.Group):  # as anndata stored tables before version 0.7
        return ProcessedCells.of(DISCERNData.read_h5ad(path, batch_size))
    obs, var = read_elem(file["obs"]), read_elem(file["var"])
    uns = {key: plain(read_elem(file["uns"][key])) for key in (DISCERN, FIXED_SCALING) if key in file["uns"]}
    measured = read_elem(file["varm"][MEASURED]) if MEASURED in file.get("varm", ()) else None
    require_preprocessed(path, obs, uns)
    obs[BATCH] = obs[BATCH].astype("category")
    matrices = {"X": file.get("X"), COUNTS: file.get(f"layers/{COUNTS}")}
    proteins = file.get(f"obsm/{PROTEIN_EXPRESSION}")
    return ProcessedCells(obs, var, uns, matrices, batch_size=batch_size, proteins=proteins, measured=measured)
