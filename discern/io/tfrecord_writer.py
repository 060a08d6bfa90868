"""Writing sharded, sparse record files."""

import gzip
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from discern.io.batch_labels import batch_codes, batch_names
from discern.io.cells_digest import cells_digest
from discern.io.count_dtypes import narrowest_dtypes
from discern.io.measured_genes import GenePanels
from discern.io.processed_counts import require_counts, require_library_size
from discern.io.record_format import frame, serialise_cells
from discern.io.record_schema import (
    SCHEMA_FILE,
    TRAINING,
    VALIDATION,
    VERSION,
    VERSION_WITH_PANELS,
    RecordSchema,
    Shard,
    genes_digest,
)
from discern.io.whole_files import replacing_file, replacing_folder, write_json
from discern.keys import COUNTS, MEASURED, SPLIT, TRAIN, VALID

CELLS_PER_SHARD = 8192
_SPLITS = {TRAINING: TRAIN, VALIDATION: VALID}


class TFRecordsWriter:
    """Write serialised cells into numbered, GZIP-compressed shards of one folder."""

    def __init__(self, out_dir: Path, cells_per_shard: int = CELLS_PER_SHARD):
        """Remember the folder.

        Args:
            out_dir: Where the shards are written; created when needed.
            cells_per_shard: The most cells one file holds.
        """
        self.out_dir = Path(out_dir)
        self.cells_per_shard = cells_per_shard

    def write_dataset(self, dataset: Iterable[bytes], split: str) -> list[Shard]:
        """Write all cells of one split.

        Args:
            dataset: Serialised cells.
            split: First part of the file names: ``training`` or ``validate``.

        Returns:
            The shards in the order they were written; none when there are no cells.
        """
        shards: list[Shard] = []
        cells = iter(dataset)
        while (first := next(cells, None)) is not None:
            of_shard = itertools.chain([first], itertools.islice(cells, self.cells_per_shard - 1))
            name = shard_name(split, len(shards))
            shards.append(Shard(name, write_shard(self.out_dir / name, map(frame, of_shard))))
        return shards


def shard_name(split: str, number: int) -> str:
    """Return the file name of a shard."""
    return f"{split}-{number:05d}.tfrecords"


def write_shard(path: Path, frames: Iterable[bytes]) -> int:
    """Write framed records into a new GZIP-compressed file and return their number."""
    n_cells = 0
    with (
        replacing_file(path) as temporary,
        temporary.open("wb") as stream,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as compressed,
    ):
        for one in frames:
            compressed.write(one)
            n_cells += 1
    return n_cells


@dataclass(frozen=True)
class CellLabels:
    """What a record says of a cell beside its counts.

    Attributes:
        batch: Index of the batch, (n_cells,).
        library_size: Total count, (n_cells,).
        gene_dtype: NumPy type of the gene indices.
        value_dtype: NumPy type of the counts.
        panels: Which genes were measured; None when all were in all cells.
    """

    batch: np.ndarray
    library_size: np.ndarray
    gene_dtype: str
    value_dtype: str
    panels: GenePanels | None = None

    @classmethod
    def of(cls, annotation: AnnData, gene_dtype: str, value_dtype: str) -> "CellLabels":
        """Take the labels from processed data; their matrices are not used."""
        obs = annotation.obs
        codes = batch_codes(obs, batch_names(obs))
        panels = GenePanels.of(obs, annotation.varm.get(MEASURED), annotation.var_names)
        return cls(codes, require_library_size(obs), gene_dtype, value_dtype, panels)

    def of_cells(self, cells: slice) -> "CellLabels":
        """Return the labels of neighbouring cells."""
        panels = None if self.panels is None else self.panels.of_cells(cells)
        return replace(self, batch=self.batch[cells], library_size=self.library_size[cells], panels=panels)

    def records(self, counts: sparse.csr_matrix, cells: np.ndarray | slice) -> Iterable[bytes]:
        """Yield one record per row of ``counts``, whose indices among all cells are ``cells``."""
        panel = None if self.panels is None else self.panels.codes[cells]
        return serialise_cells(
            counts, self.batch[cells], self.library_size[cells], self.gene_dtype, self.value_dtype, panel
        )


def write_records(adata: AnnData, folder: Path, seed: int = 0) -> RecordSchema:
    """Write the training and validation cells of processed data, replacing what the folder held.

    Cells are shuffled over the shards, so that reading a few shards at a time sees all batches.

    Args:
        adata: Processed data: raw counts in ``layers["counts"]``, ``obs`` with batch, split and n_counts.
        folder: The folder of the records.
        seed: Drives the order of the cells.
    """
    counts = require_counts(adata.layers.get(COUNTS), "The data")
    labels = CellLabels.of(adata, *narrowest_dtypes(counts))
    with replacing_folder(folder) as temporary:
        writer = TFRecordsWriter(temporary)
        splits = {
            split: writer.write_dataset(
                itertools.chain.from_iterable(labels.records(counts[part], part) for part in _slices(cells, 2048)),
                split,
            )
            for split, cells in record_orders(adata.obs, seed).items()
        }
        return write_schema(temporary, adata, labels, splits)


def record_orders(obs: pd.DataFrame, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the cells of every split, in the order their records have."""
    rng = np.random.default_rng(seed)
    return {split: rng.permutation(np.flatnonzero(obs[SPLIT] == label)) for split, label in _SPLITS.items()}


def write_schema(
    folder: Path, annotation: AnnData, labels: CellLabels, splits: Mapping[str, Sequence[Shard]]
) -> RecordSchema:
    """Write and return the schema of a folder of records."""
    schema = RecordSchema(
        n_genes=annotation.n_vars,
        genes_sha256=genes_digest(annotation.var_names),
        batches=batch_names(annotation.obs),
        gene_dtype=labels.gene_dtype,
        value_dtype=labels.value_dtype,
        splits={split: [shard.measured(folder) for shard in shards] for split, shards in splits.items()},
        version=VERSION if labels.panels is None else VERSION_WITH_PANELS,
        cells_sha256=cells_digest(annotation.obs_names, annotation.obs[SPLIT], labels.library_size),
        unmeasured=[] if labels.panels is None else labels.panels.unmeasured,
    )
    write_json(folder / SCHEMA_FILE, schema.to_json())
    return schema


def _slices(cells: np.ndarray, size: int) -> Iterable[np.ndarray]:
    return (cells[start : start + size] for start in range(0, len(cells), size))
