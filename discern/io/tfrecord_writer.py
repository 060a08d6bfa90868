"""Writing sharded, sparse record files."""

import gzip
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from anndata import AnnData

from discern.io.batch_labels import batch_codes
from discern.io.cells_digest import cells_digest
from discern.io.record_format import (
    SCHEMA_FILE,
    TRAINING,
    VALIDATION,
    RecordSchema,
    Shard,
    frame,
    genes_digest,
    narrowest_dtypes,
    require_counts,
    require_library_size,
    serialise_cells,
)
from discern.io.whole_files import replacing_file, replacing_folder, write_json
from discern.keys import COUNTS, SPLIT, TRAIN, VALID

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
            shards.append(self._write_shard(of_shard, f"{split}-{len(shards):05d}.tfrecords"))
        return shards

    def _write_shard(self, records: Iterable[bytes], name: str) -> Shard:
        n_cells = 0
        with (
            replacing_file(self.out_dir / name) as temporary,
            temporary.open("wb") as stream,
            gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as compressed,
        ):
            for record in records:
                compressed.write(frame(record))
                n_cells += 1
        return Shard(name, n_cells)


def write_records(adata: AnnData, folder: Path, seed: int = 0) -> RecordSchema:
    """Write the training and validation cells of processed data, replacing what the folder held.

    Cells are shuffled over the shards, so that reading a few shards at a time sees all batches.

    Args:
        adata: Processed data: raw counts in ``layers["counts"]``, ``obs`` with batch, split and n_counts.
        folder: The folder of the records.
        seed: Drives the order of the cells.
    """
    counts = require_counts(adata.layers.get(COUNTS), "The data")
    library_size = require_library_size(adata.obs)
    batches = list(adata.obs["batch"].cat.categories)
    codes = batch_codes(adata.obs, batches)
    gene_dtype, value_dtype = narrowest_dtypes(counts)
    rng = np.random.default_rng(seed)
    with replacing_folder(folder) as temporary:
        writer = TFRecordsWriter(temporary)
        splits = {}
        for split, label in _SPLITS.items():
            cells = rng.permutation(np.flatnonzero(adata.obs[SPLIT] == label))
            records = itertools.chain.from_iterable(
                serialise_cells(counts[part], codes[part], library_size[part], gene_dtype, value_dtype)
                for part in _slices(cells, 2048)
            )
            splits[split] = writer.write_dataset(records, split)
        schema = RecordSchema(
            n_genes=adata.n_vars,
            genes_sha256=genes_digest(adata.var_names),
            batches=batches,
            gene_dtype=gene_dtype,
            value_dtype=value_dtype,
            splits=splits,
            cells_sha256=cells_digest(adata.obs_names, adata.obs[SPLIT], library_size),
        )
        write_json(temporary / SCHEMA_FILE, schema.to_json())
    return schema


def _slices(cells: np.ndarray, size: int) -> Iterable[np.ndarray]:
    return (cells[start : start + size] for start in range(0, len(cells), size))
