"""Which cells and genes are kept: cells first, then genes seen in the cells that are left."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from discern.errors import DataError, counted


@dataclass(frozen=True)
class KeptCellsAndGenes:
    """What the filter keeps and the numbers it counted.

    Attributes:
        cells: Mask over all cells, (n_cells,).
        genes: Mask over all genes, (n_genes,).
        genes_per_cell: Genes seen in every cell, before the gene filter, (n_cells,).
        cells_per_gene: Kept cells that show every gene, (n_genes,).
    """

    cells: np.ndarray
    genes: np.ndarray
    genes_per_cell: np.ndarray
    cells_per_gene: np.ndarray


@dataclass(frozen=True)
class SeenCounts:
    """What is counted before cells and genes are chosen.

    Attributes:
        genes_per_cell: Genes seen in every cell, (n_cells,).
        cells_per_gene: Cells with enough genes that show every gene, (n_genes,).
    """

    genes_per_cell: np.ndarray
    cells_per_gene: np.ndarray

    def merge(self, later: "SeenCounts") -> "SeenCounts":
        """Return the counts of both; ``later`` are of later cells."""
        return SeenCounts(
            np.concatenate([self.genes_per_cell, later.genes_per_cell]), self.cells_per_gene + later.cells_per_gene
        )


def count_seen(chunks: Iterable[sparse.csr_matrix], min_genes: int, n_genes: int) -> SeenCounts:
    """Count the genes of every cell, and in how many cells with at least ``min_genes`` genes each gene is seen.

    Args:
        chunks: Raw counts of consecutive cells, (any, n_genes) each.
        min_genes: Fewest genes of a cell.
        n_genes: Number of genes.
    """
    total = SeenCounts(np.zeros(0, dtype=np.int64), np.zeros(n_genes, dtype=np.int64))
    for chunk in chunks:
        genes_per_cell = _positive_per_row(chunk)
        total = total.merge(SeenCounts(genes_per_cell, _positive_per_gene(chunk, genes_per_cell >= min_genes)))
    return total


def choose_cells_and_genes(seen: SeenCounts, min_genes: int, min_cells: int) -> KeptCellsAndGenes:
    """Keep cells with at least ``min_genes`` genes, then genes in at least ``min_cells`` of these cells.

    Args:
        seen: From :func:`count_seen` with the same ``min_genes``.
        min_genes: Fewest genes of a cell.
        min_cells: Fewest cells of a gene.

    Raises:
        DataError: No cell or no gene is left.
    """
    cells = seen.genes_per_cell >= min_genes
    if not cells.any():
        raise DataError(_no_cell_left(seen, min_genes))
    genes = seen.cells_per_gene >= min_cells
    if not genes.any():
        raise DataError(
            f"No gene is seen in {min_cells} cells or more: the most frequent of {len(genes)} genes is seen in "
            f"{seen.cells_per_gene.max(initial=0)} of {cells.sum()} cells. Lower filtering.min_cells."
        )
    return KeptCellsAndGenes(cells, genes, seen.genes_per_cell, seen.cells_per_gene)


def require_every_batch(kept: np.ndarray, batch: np.ndarray, batches: Sequence[str], condition: str) -> None:
    """Refuse a filter that removes a whole batch.

    Args:
        kept: Mask over all cells, (n_cells,).
        batch: Batch code of every cell, (n_cells,).
        batches: Name of every batch code.
        condition: What kept cells have in common, for the message.

    Raises:
        DataError: A batch with cells has none left.
    """
    n_before = np.bincount(batch, minlength=len(batches))
    n_left = np.bincount(batch[kept], minlength=len(batches))
    lost = [
        f"'{name}' ({counted(n_before[i], 'cell')})" for i, name in enumerate(batches) if n_before[i] and not n_left[i]
    ]
    if lost:
        raise DataError(
            f"No cell of batch {', '.join(lost)} {condition}. Lower filtering.min_genes or filtering.min_cells, or "
            "leave the batch out."
        )


def heavy_losses(kept: np.ndarray, batch: np.ndarray, batches: Sequence[str]) -> list[str]:
    """Return one sentence for every batch that a filter leaves with fewer than half of its cells.

    Args:
        kept: Mask over all cells, (n_cells,).
        batch: Batch code of every cell, (n_cells,).
        batches: Name of every batch code.
    """
    before = np.bincount(batch, minlength=len(batches))
    left = np.bincount(batch[kept], minlength=len(batches))
    return [
        f"The filter keeps {n_left} of {n_before} cells of batch '{name}'"
        for name, n_before, n_left in zip(batches, before, left, strict=True)
        if n_left < n_before / 2
    ]


def count_genes_per_cell(chunks: Iterable[sparse.csr_matrix]) -> np.ndarray:
    """Return the number of genes with a positive count, int64 (n_cells,)."""
    return np.concatenate([np.zeros(0, dtype=np.int64), *map(_positive_per_row, chunks)])


def count_cells_per_gene(chunks: Iterable[sparse.csr_matrix], kept_cells: np.ndarray, n_genes: int) -> np.ndarray:
    """Return in how many kept cells each gene has a positive count, int64 (n_genes,).

    Args:
        chunks: Consecutive cells, (any, n_genes) each.
        kept_cells: Mask over all cells, (n_cells,).
        n_genes: Number of genes.
    """
    total = np.zeros(n_genes, dtype=np.int64)
    start = 0
    for chunk in chunks:
        total += _positive_per_gene(chunk, kept_cells[start : start + chunk.shape[0]])
        start += chunk.shape[0]
    return total


def _positive_per_gene(chunk: sparse.csr_matrix, cells: np.ndarray) -> np.ndarray:
    counted = np.repeat(cells, np.diff(chunk.indptr)) & (chunk.data > 0)
    return np.bincount(chunk.indices[counted], minlength=chunk.shape[1])


def _positive_per_row(chunk: sparse.csr_matrix) -> np.ndarray:
    rows = np.repeat(np.arange(chunk.shape[0]), np.diff(chunk.indptr))
    return np.bincount(rows[chunk.data > 0], minlength=chunk.shape[0])


def _no_cell_left(seen: SeenCounts, min_genes: int) -> str:
    genes_per_cell, n_genes = seen.genes_per_cell, len(seen.cells_per_gene)
    if len(genes_per_cell) == 0:
        return "The data hold no cell."
    remedy = "Lower filtering.min_genes."
    if n_genes < min_genes:
        remedy = (
            f"There are only {n_genes} genes, those that all inputs have: are these of one species, with the same kind of "
            "gene names? If so, lower filtering.min_genes."
        )
    return (
        f"No cell has {min_genes} genes or more: {len(genes_per_cell)} cells have {np.median(genes_per_cell):g} genes "
        f"in the median and {genes_per_cell.max()} at most. {remedy}"
    )
