"""Write an h5ad file of any number of cells, made from a few real ones: tiled, perturbed and thinned out.

Usage: python -m benchmarks.tiled_cells REAL_DATA OUT.h5ad --cells 200000 [--genes 15000] [--density 0.07] [--seed 0]

Every cell is made from a real one: the counts of one of its nearest real neighbours are added, some entries are
replaced by entries of any real cell, and the molecules are thinned out to the depth of its batch. So genes are seen as
often, and together, as in real cells, and no two cells are the same. Counts are whole numbers in float32, as usual. The
file is written in pieces: memory does not grow with the number of cells.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from discern.io.reading import read_raw_input
from discern.io.whole_files import replacing_file

PIECE = 4096
MOST_REAL_CELLS = 2000
N_NEIGHBOURS = 10
REPLACED_ENTRIES = 0.05
DEEPEST_TO_SHALLOWEST = 2.5
BARCODE_LENGTH = 16


@dataclass(frozen=True)
class RealCells:
    """What the tiles are cut from.

    Attributes:
        counts: Whole numbers, CSR (n_real, n_genes), int32.
        genes: Names of the genes.
        neighbours: Nearest real cells of every real cell, (n_real, n_neighbours).
    """

    counts: sparse.csr_matrix
    genes: list[str]
    neighbours: np.ndarray


def read_real_cells(path: Path, n_genes: int, rng: np.random.Generator) -> RealCells:
    """Read some cells of a file with the genes that are seen most often in it, in their order.

    Args:
        path: Raw counts in any format that ``discern process`` reads.
        n_genes: Number of genes.
        rng: Chooses cells where there are more than 2,000.

    Raises:
        SystemExit: Fewer genes are seen.
    """
    adata = read_raw_input(path)
    counts = sparse.csr_matrix(adata.X)
    if counts.shape[0] > MOST_REAL_CELLS:
        counts = counts[np.sort(rng.choice(counts.shape[0], MOST_REAL_CELLS, replace=False))]
    seen = counts.getnnz(axis=0)
    if (seen > 0).sum() < n_genes:
        raise SystemExit(f"{path} shows {(seen > 0).sum()} genes, {n_genes} are wanted. Give another file or --genes.")
    genes = np.sort(np.argsort(-seen, kind="stable")[:n_genes])
    counts = counts[:, genes].astype(np.int32)
    counts = counts[counts.getnnz(axis=1) > 0]
    return RealCells(counts, [str(name) for name in adata.var_names[genes]], nearest_cells(counts))


def nearest_cells(counts: sparse.csr_matrix) -> np.ndarray:
    """Return the cells whose log normalised counts have the greatest cosine with each cell's, (n_cells, ≤ 10)."""
    library_size = np.asarray(counts.sum(axis=1)).ravel()
    logged = (sparse.diags(np.median(library_size) / library_size) @ counts.astype(np.float32)).log1p().toarray()
    logged /= np.linalg.norm(logged, axis=1, keepdims=True)
    likeness = logged @ logged.T
    np.fill_diagonal(likeness, -np.inf)
    return np.argsort(-likeness, axis=1)[:, : min(N_NEIGHBOURS, len(likeness) - 1)]


def pooled_cells(real: RealCells, n_cells: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Return random real cells, each with the counts of a neighbour and some entries of any cell, (n_cells, n_genes)."""
    cells = rng.integers(real.counts.shape[0], size=n_cells)
    beside = real.neighbours[cells, rng.integers(real.neighbours.shape[1], size=n_cells)]
    pooled = real.counts[cells] + real.counts[beside]
    replaced = np.flatnonzero(rng.random(pooled.nnz, dtype=np.float32) < REPLACED_ENTRIES)
    others = rng.integers(real.counts.nnz, size=len(replaced))
    pooled.indices[replaced] = real.counts.indices[others]
    pooled.data[replaced] = real.counts.data[others]
    pooled.has_canonical_format = False
    pooled.sum_duplicates()
    return pooled


def thinned(counts: sparse.csr_matrix, kept: np.ndarray, rng: np.random.Generator) -> sparse.csr_matrix:
    """Keep every molecule of a cell with probability ``kept``, (n_cells,); float32, without stored zeros."""
    molecules = rng.binomial(counts.data, np.repeat(kept, np.diff(counts.indptr)))
    result = sparse.csr_matrix((molecules.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape)
    result.eliminate_zeros()
    return result


def kept_per_batch(counts: sparse.csr_matrix, n_batches: int, density: float) -> np.ndarray:
    """Return the share of molecules each batch keeps so that, over all batches, ``density`` of the entries are not zero.

    The depths of the batches are evenly spaced in logarithm; the first is 2.5 times as deep as the last.

    Raises:
        SystemExit: There are too few molecules.
    """
    depths = np.geomspace(1.0, 1.0 / DEEPEST_TO_SHALLOWEST, n_batches)

    def reached(scale: float) -> float:
        left = [1.0 - (1.0 - scale * depth) ** counts.data.astype(np.float64) for depth in depths]
        return sum(map(np.sum, left)) / (n_batches * counts.shape[0] * counts.shape[1])

    if reached(1.0) < density:
        raise SystemExit(
            f"The real cells reach a density of {reached(1.0):.3f}, {density} is wanted. Give deeper ones."
        )
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < density else (low, middle)
    return high * depths


def cell_names(n_cells: int, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return unique names as sequencing gives them: a barcode of 16 bases and the number of the batch."""
    codes = rng.choice(4**BARCODE_LENGTH, n_cells, replace=False)
    digits = (codes[:, None] >> (2 * np.arange(BARCODE_LENGTH))) & 3
    barcodes = np.frombuffer(b"ACGT", "S1")[digits].view(f"S{BARCODE_LENGTH}").ravel().astype(str)
    return np.char.add(np.char.add(barcodes, "-"), (batch + 1).astype(str))


def write_tiled_cells(real: RealCells, path: Path, n_cells: int, n_batches: int, density: float, seed: int) -> None:
    """Write the file; an interrupted run leaves none.

    Args:
        real: What the cells are made from.
        path: An h5ad file; it is replaced.
        n_cells: Number of cells.
        n_batches: They follow one another, each of its own depth, in ``obs["batch"]``.
        density: Share of the entries that are not zero.
        seed: Drives every draw.
    """
    rng = np.random.default_rng(seed)
    batch = np.arange(n_cells) * n_batches // n_cells
    kept = kept_per_batch(pooled_cells(real, 1000, rng), n_batches, density)[batch]
    kept = np.minimum(kept * rng.uniform(0.75, 1.25, n_cells), 1.0)
    obs = pd.DataFrame(
        {"batch": pd.Categorical.from_codes(batch, [f"batch{number + 1}" for number in range(n_batches)])},
        index=cell_names(n_cells, batch, rng),
    )
    with replacing_file(path) as temporary:
        AnnData(obs=obs, var=pd.DataFrame(index=real.genes)).write_h5ad(temporary)
        with h5py.File(temporary, "r+") as file:
            for start in range(0, n_cells, PIECE):
                part = kept[start : start + PIECE]
                piece = thinned(pooled_cells(real, len(part), rng), part, rng)
                if start:
                    sparse_dataset(file["X"]).append(piece)
                else:
                    piece.indptr = piece.indptr.astype(np.int64)  # 800,000 cells have more non-zeros than int32 spare
                    write_elem(file, "X", piece, dataset_kwargs={"compression": "gzip", "compression_opts": 1})


def main() -> None:
    """Write the file that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real_data", type=Path, help="raw counts of real cells with all genes, e.g. a 10x .h5 file")
    parser.add_argument("out", type=Path)
    parser.add_argument("--cells", type=int, required=True)
    parser.add_argument("--genes", type=int, default=15_000)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--density", type=float, default=0.07)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    real = read_real_cells(arguments.real_data, arguments.genes, rng)
    write_tiled_cells(real, arguments.out, arguments.cells, arguments.batches, arguments.density, arguments.seed)


if __name__ == "__main__":
    main()
