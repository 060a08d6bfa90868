"""Counts of many cells on disk, in pieces that fit into little memory: what preprocessing works on."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from discern.io.count_dtypes import narrowest_dtypes
from discern.io.gene_columns import placed_columns
from discern.io.input_checks import Findings, examine
from discern.io.raw_counts import chosen_columns
from discern.io.raw_input import RawInput
from discern.io.reading import naming_the_file
from discern.io.row_readers import RowReader, RowsInMemory, StoredColumns
from discern.progress import progress
from discern.workers import ThisProcess, Workers


@dataclass(frozen=True)
class Piece:
    """Some neighbouring cells.

    Attributes:
        path: Their file.
        n_cells: Their number, > 0.
        n_genes: Number of genes.
        n_values: Number of stored values.
        value_dtype: The narrowest NumPy type of their counts.
    """

    path: Path
    n_cells: int
    n_genes: int
    n_values: int
    value_dtype: str

    @classmethod
    def write(cls, path: Path, counts: sparse.csr_matrix) -> "Piece":
        """Write cells, (n_cells, n_genes), into a new file."""
        gene_dtype, value_dtype = narrowest_dtypes(counts)
        np.savez(
            path,
            genes=counts.indices.astype(gene_dtype),
            values=counts.data.astype(value_dtype),
            ends=counts.indptr.astype(np.int64),
        )
        n_cells, n_genes = counts.shape
        return cls(path, n_cells, n_genes, counts.nnz, value_dtype)

    def read(self) -> sparse.csr_matrix:
        """Return the counts, float32 (n_cells, n_genes)."""
        with np.load(self.path, allow_pickle=False) as arrays:
            values, genes, ends = (arrays[name] for name in ("values", "genes", "ends"))
        return sparse.csr_matrix(
            (values.astype(np.float32), genes.astype(np.int32), ends.astype(np.int32)),
            shape=(self.n_cells, self.n_genes),
        )


@dataclass(frozen=True)
class CellStore:
    """All cells, in their order.

    Attributes:
        n_genes: Number of genes.
        pieces: Where the cells are.
    """

    n_genes: int
    pieces: tuple[Piece, ...]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return sum(piece.n_cells for piece in self.pieces)

    @property
    def n_values(self) -> int:
        """Number of stored values."""
        return sum(piece.n_values for piece in self.pieces)

    @property
    def starts(self) -> list[int]:
        """Index of the first cell of every piece, and behind them the number of cells."""
        return list(itertools.accumulate((piece.n_cells for piece in self.pieces), initial=0))

    def parts_of(self, per_cell: np.ndarray) -> list[np.ndarray]:
        """Return an array over all cells, (n_cells, ...), cut at the pieces."""
        return np.split(per_cell, self.starts[1:-1])

    def keep(self, cells: np.ndarray, genes: np.ndarray, folder: Path, workers: Workers) -> "CellStore":
        """Write the chosen cells and genes into a new folder; this store stays as it is.

        Args:
            cells: Mask over all cells, (n_cells,).
            genes: Mask over all genes, (n_genes,).
            folder: The new folder.
            workers: Who does it.
        """
        folder.mkdir()
        columns = None if genes.all() else np.flatnonzero(genes)
        tasks = [
            _Choice(piece, mask, columns, folder / piece.path.name)
            for piece, mask in zip(self.pieces, self.parts_of(cells), strict=True)
            if mask.any()
        ]
        return CellStore(int(genes.sum()), tuple(workers.map(_choose, tasks)))


@dataclass(frozen=True)
class _Choice:
    piece: Piece
    cells: np.ndarray
    genes: np.ndarray | None
    target: Path


def _choose(choice: _Choice) -> Piece:
    counts = choice.piece.read()[choice.cells]
    return Piece.write(choice.target, chosen_columns(counts, choice.genes))


class StoredInputs(NamedTuple):
    """Inputs whose counts were copied.

    Attributes:
        store: The counts of all cells.
        findings: What the counts of every input are like, of its cells from first to last.
        genes_per_cell: Genes of every cell, counted over all genes of its input, int64 (n_cells,).
    """

    store: CellStore
    findings: list[list[Findings]]
    genes_per_cell: np.ndarray


def store_inputs(
    inputs: Sequence[RawInput], columns: Sequence[np.ndarray], folder: Path, workers: Workers, name: str = "piece"
) -> StoredInputs:
    """Copy the chosen genes of all cells into a new folder, a few cells at a time.

    Args:
        inputs: Opened inputs.
        columns: The columns of every input that are kept, (n_genes,) each; -1 for a gene that the input does not have.
        folder: The new folder.
        workers: Who reads; data that are in memory already are written by this process.
        name: First part of the names of the files.

    Raises:
        DataError: A file is damaged.
    """
    folder.mkdir()
    pieces: list[Piece] = []
    findings: list[list[Findings]] = []
    genes_per_cell = [np.zeros(0, dtype=np.int64)]
    for number, (raw, kept) in enumerate(zip(inputs, columns, strict=True)):
        with naming_the_file(raw.path):
            rows = raw.rows.turned(folder / f"input-{number}") if isinstance(raw.rows, StoredColumns) else raw.rows
            blocks = rows.blocks()
        genes = None if np.array_equal(kept, np.arange(rows.shape[1])) else kept
        tasks = [
            _Block(rows, start, stop, genes, raw.path, folder / f"{name}-{number:04d}-{index:05d}.npz")
            for index, (start, stop) in enumerate(blocks)
        ]
        readers = ThisProcess() if isinstance(rows, RowsInMemory) else workers
        done: list[tuple[Piece, Findings, np.ndarray]] = []
        with progress(f"Reading {raw.path or 'data'}, piece", len(tasks)) as report:
            for result in readers.map(_store_block, tasks):
                done.append(result)
                report(len(done))
        pieces += [piece for piece, _, _ in done]
        findings.append([found for _, found, _ in done])
        genes_per_cell += [n_genes for _, _, n_genes in done]
    return StoredInputs(CellStore(len(columns[0]), tuple(pieces)), findings, np.concatenate(genes_per_cell))


@dataclass(frozen=True)
class _Block:
    rows: RowReader
    start: int
    stop: int
    genes: np.ndarray | None
    source: Path | None
    target: Path


def _store_block(block: _Block) -> tuple[Piece, Findings, np.ndarray]:
    with naming_the_file(block.source):
        matrix = block.rows.rows(block.start, block.stop)
        found = examine(matrix, block.start)
    piece = Piece.write(block.target, placed_columns(matrix, block.genes))
    return piece, found, np.diff(matrix.indptr).astype(np.int64)
