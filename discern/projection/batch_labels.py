"""Batch labels of many cells that share few different rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from discern.io.batch_labels import batch_codes
from discern.io.data import DISCERNData
from discern.io.processed_cells import ProcessedCells


@dataclass(frozen=True)
class BatchLabels:
    """One row per cell, one column per batch, in the memory of the rows that differ.

    Attributes:
        rows: The rows that differ, float32 (n_rows, n_batches).
        codes: Which of them each cell has, int32 (n_cells,).
    """

    rows: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.codes)

    def __getitem__(self, cells: slice) -> np.ndarray:
        """Return the labels of neighbouring cells, a new array, float32 (n_cells, n_batches)."""
        return self.rows[self.codes[cells]]

    def mean(self, among: np.ndarray | None = None) -> np.ndarray:
        """Return the average label, float32 (n_batches,).

        Args:
            among: Cells to average over, bool (n_cells,); all when None.
        """
        codes = self.codes if among is None else self.codes[among]
        weights = np.bincount(codes, minlength=len(self.rows)) / len(codes)
        return (weights @ self.rows.astype(np.float64)).astype(np.float32)

    def means_of(self, groups: np.ndarray) -> np.ndarray:
        """Return the average label of every group, float32 (n_groups, n_batches).

        Args:
            groups: Which group every cell belongs to, int (n_cells,); none is empty.
        """
        shape = (int(groups.max()) + 1, len(self.rows))
        cells = sparse.csr_matrix((np.ones(len(groups)), (groups, self.codes)), shape=shape)
        sizes = np.bincount(groups)[:, None]
        return ((cells @ self.rows.astype(np.float64)) / sizes).astype(np.float32)

    @classmethod
    def same_for_all(cls, row: np.ndarray, n_cells: int) -> "BatchLabels":
        """Return one row, (n_batches,), for every cell."""
        return cls(row[None].astype(np.float32), np.broadcast_to(np.int32(0), n_cells))


def own_labels(data: DISCERNData | ProcessedCells, batches: Sequence[str]) -> BatchLabels:
    """Return one-hot labels of every cell's own batch in the order of the model's batches, matched by name."""
    codes = batch_codes(data.obs, batches).astype(np.int32)
    return BatchLabels(np.eye(len(batches), dtype=np.float32), codes)
