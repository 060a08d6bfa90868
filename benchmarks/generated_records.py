"""Generated cells, and their record files in this program's format and in the published one.

The published format holds one dense cell per record: scaled float32 expression, one-hot batch and a closing 1.0, all
records in one GZIP stream.
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from discern.io.count_dtypes import narrowest_dtypes, narrowest_gene_dtype
from discern.io.data import DISCERNData
from discern.io.processed_counts import require_counts
from discern.io.record_format import frame, serialise_cells
from discern.io.record_schema import SCHEMA_FILE, TRAINING, RecordSchema
from discern.io.tfrecord_writer import TFRecordsWriter
from discern.io.transform import InputTransform
from discern.io.whole_files import write_json
from discern.keys import COUNTS
from discern.scaling import GeneScaling

N_BATCHES = 4
LIBRARY_SIZE = 20_000.0
_DENSITY = 0.07
_PIECE = 1024
_REPLACED_ENTRIES = 0.05
_MOST_REAL_CELLS = 4000


@dataclass(frozen=True)
class Cells:
    """Generated raw counts, piece by piece, the same ones every time.

    Attributes:
        n_cells: Number of cells.
        n_genes: Number of genes.
        real: Counts of real cells to make them from; negative binomial draws when None.
    """

    n_cells: int
    n_genes: int
    real: sparse.csr_matrix | None = None

    def pieces(self) -> Iterator[tuple[sparse.csr_matrix, np.ndarray, np.ndarray]]:
        """Yield (counts, batch, library size) of at most 1,024 cells."""
        rng = np.random.default_rng(0)
        mean = gene_means(self.n_genes, rng)
        for start in range(0, self.n_cells, _PIECE):
            size = min(_PIECE, self.n_cells - start)
            counts = drawn(mean, size, rng) if self.real is None else tiled(self.real, size, self.n_genes, rng)
            yield counts, rng.integers(N_BATCHES, size=size), np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)

    def scaling(self) -> GeneScaling:
        """Return means and deviations of normalised log expression, from the first cells."""
        counts, _, library_size = next(self.pieces())
        expression = InputTransform(LIBRARY_SIZE, log=True).dense(counts, library_size)
        return GeneScaling(expression.mean(axis=0), np.maximum(expression.std(axis=0), 0.01))


def real_counts(experiment: Path) -> sparse.csr_matrix:
    """Return the raw counts of up to 4,000 cells of a processed experiment."""
    data = DISCERNData.from_folder(experiment, batch_size=1)
    cells = np.sort(np.random.default_rng(0).permutation(data.n_obs)[:_MOST_REAL_CELLS])
    return require_counts(data.layers.get(COUNTS), "The experiment")[cells]


def gene_means(n_genes: int, rng: np.random.Generator) -> np.ndarray:
    """Return log-normal means of negative binomial counts (dispersion 2) that leave 7 % of them above zero."""
    share = rng.lognormal(0.0, 1.8, n_genes)
    low, high = -12.0, 12.0
    for _ in range(40):
        middle = (low + high) / 2
        seen = (1 - (1 + np.exp(middle) * share / 2) ** -2.0).mean()
        low, high = (middle, high) if seen < _DENSITY else (low, middle)
    return np.exp(low) * share


def drawn(mean: np.ndarray, n_cells: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Return negative binomial counts, (n_cells, n_genes); cells differ in depth."""
    depth = rng.lognormal(0.0, 0.4, (n_cells, 1))
    pieces = [
        sparse.csr_matrix(rng.poisson(mean * part * rng.gamma(2.0, 0.5, (len(part), len(mean)))).astype(np.float32))
        for part in np.array_split(depth, max(1, n_cells // 128))
    ]
    return sparse.vstack(pieces, format="csr")


def tiled(real: sparse.csr_matrix, n_cells: int, n_genes: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Return real cells beside one another until there are genes enough, perturbed, thinned to 7 % non-zero entries."""
    beside = [real[rng.integers(real.shape[0], size=n_cells)] for _ in range(-(-n_genes // real.shape[1]))]
    counts = sparse.hstack(beside, format="csr")[:, :n_genes].astype(np.float32)
    replaced = np.flatnonzero(rng.random(counts.nnz) < _REPLACED_ENTRIES)
    counts.data[replaced] = rng.permutation(counts.data[replaced])
    kept = rng.random(counts.nnz) < _DENSITY * n_cells * n_genes / max(1, counts.nnz)
    counts.data[~kept] = 0.0
    counts.eliminate_zeros()
    return counts


def write_sparse(cells: Cells, folder: Path) -> int:
    """Write records of this program and return their bytes."""
    folder.mkdir()
    highest = max((counts.data.max(initial=0.0) for counts, *_ in cells.pieces()), default=0.0)
    value_dtype = narrowest_dtypes(sparse.csr_matrix([[highest]], dtype=np.float32))[1]
    dtypes = narrowest_gene_dtype(cells.n_genes), value_dtype
    records = (record for piece in cells.pieces() for record in serialise_cells(*piece, *dtypes))
    shards = TFRecordsWriter(folder).write_dataset(records, TRAINING)
    batches = [f"batch{number}" for number in range(N_BATCHES)]
    write_json(folder / SCHEMA_FILE, RecordSchema(cells.n_genes, "", batches, *dtypes, {TRAINING: shards}).to_json())
    return sum((folder / shard.file).stat().st_size for shard in shards)


def write_dense(cells: Cells, scaling: GeneScaling, file: Path) -> int:
    """Write records of the published program and return their bytes."""
    transform = InputTransform(LIBRARY_SIZE, log=True, scaling=scaling)
    with gzip.open(file, "wb", compresslevel=6) as stream:
        for counts, batch, library_size in cells.pieces():
            one_hot = np.eye(N_BATCHES, dtype=np.float32)[batch]
            closing = np.ones((len(batch), 1), dtype=np.float32)
            for cell in np.hstack([transform.dense(counts, library_size), one_hot, closing]):
                stream.write(frame(cell.astype("<f4").tobytes()))
    return file.stat().st_size
