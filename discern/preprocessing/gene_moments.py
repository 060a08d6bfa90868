"""Mean and variance of every gene, accumulated over chunks of cells."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

DEVIATION_FLOOR = 1e-8


@dataclass(frozen=True)
class GeneMoments:
    """Mean and summed squared deviation of every gene.

    Attributes:
        n_cells: Number of cells seen.
        mean: float64 (n_genes,).
        squared_deviation: Sum over cells of (x − mean)², float64 (n_genes,).
    """

    n_cells: int
    mean: np.ndarray
    squared_deviation: np.ndarray

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation with n and a floor of 1e-8, as scaling uses it, (n_genes,)."""
        return np.maximum(np.sqrt(self.squared_deviation / max(self.n_cells, 1)), DEVIATION_FLOOR)

    def merge(self, other: "GeneMoments") -> "GeneMoments":
        """Return the moments of both sets of cells.

        Source:
            Chan, Golub and LeVeque 1983, The American Statistician 37:242.
        """
        n_cells = self.n_cells + other.n_cells
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.n_cells / n_cells)
        between = shift**2 * (self.n_cells * other.n_cells / n_cells)
        return GeneMoments(n_cells, mean, self.squared_deviation + other.squared_deviation + between)


def gene_moments(chunks: Iterable[sparse.csr_matrix], n_genes: int) -> GeneMoments:
    """Return the moments over all cells of all chunks, (any, n_genes) each."""
    total = GeneMoments(0, np.zeros(n_genes), np.zeros(n_genes))
    for chunk in chunks:
        total = total.merge(_moments(chunk))
    return total


@dataclass(frozen=True)
class ValueSums:
    """Sum of every gene's values and of their squares.

    Squares are taken in the values' own float32 and then summed in float64, as the published program does: which of
    two genes of nearly equal dispersion is chosen hangs on this rounding. :class:`GeneMoments` is more precise.

    Attributes:
        n_cells: Number of cells seen.
        total: float64 (n_genes,).
        squares: float64 (n_genes,).
    """

    n_cells: int
    total: np.ndarray
    squares: np.ndarray

    def merge(self, other: "ValueSums") -> "ValueSums":
        """Return the sums over both sets of cells."""
        return ValueSums(self.n_cells + other.n_cells, self.total + other.total, self.squares + other.squares)

    @property
    def mean_and_variance(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sample variance of every gene as dispersions use them, float64 (n_genes,) each."""
        mean = self.total / max(self.n_cells, 1)
        variance = self.squares / max(self.n_cells, 1) - mean**2
        return mean, variance * (self.n_cells / max(self.n_cells - 1, 1))


def value_sums(chunks: Iterable[sparse.csr_matrix], n_genes: int) -> ValueSums:
    """Return the sums over all cells of all chunks.

    Args:
        chunks: Expression of consecutive cells, float32 (any, n_genes) each.
        n_genes: Number of genes.
    """
    n_cells, total, squares = 0, np.zeros(n_genes), np.zeros(n_genes)
    for chunk in chunks:
        n_cells += chunk.shape[0]
        total += np.bincount(chunk.indices, weights=chunk.data, minlength=n_genes)
        squares += np.bincount(chunk.indices, weights=np.square(chunk.data), minlength=n_genes)
    return ValueSums(n_cells, total, squares)


def _moments(chunk: sparse.csr_matrix) -> GeneMoments:
    n_cells, n_genes = chunk.shape
    genes = chunk.indices.astype(np.intp)
    values = chunk.data.astype(np.float64)
    mean = np.bincount(genes, weights=values, minlength=n_genes) / n_cells
    values -= mean[genes]
    np.square(values, out=values)
    unseen = n_cells - np.bincount(genes, minlength=n_genes)
    squared_deviation = np.bincount(genes, weights=values, minlength=n_genes) + unseen * mean**2
    return GeneMoments(n_cells, mean, squared_deviation)
