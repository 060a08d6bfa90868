"""Where minibatches come from: cells of record files or of data in memory, sparse and raw, in order or shuffled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from anndata import AnnData

from discern.errors import ExperimentError
from discern.io.batch_labels import batch_codes
from discern.io.record_format import RecordSchema, require_counts, require_library_size
from discern.keys import COUNTS

_SHUFFLE_CELLS = 65_536  # serialised sparse cells: a few kB each
_RECORD_FEATURES = {
    "gene": tf.io.FixedLenFeature([], tf.string),
    "value": tf.io.FixedLenFeature([], tf.string),
    "batch": tf.io.FixedLenFeature([], tf.int64),
    "library_size": tf.io.FixedLenFeature([], tf.float32),
}


class CellSource(Protocol):
    """A sized collection of cells that yields sparse minibatches."""

    n_cells: int
    n_genes: int
    n_batches: int

    def sparse_minibatches(self, batch_size: int, shuffle_seed: Any | None, drop_remainder: bool) -> tf.data.Dataset:
        """Yield dictionaries of the non-zero entries, row after row, and what is known of each cell.

        ``row``, ``gene``, ``value`` (n_entries,); ``batch``, ``library_size`` (n_cells,).
        """
        ...


class RecordSource:
    """Cells of one split of a folder of records."""

    def __init__(self, folder: Path, split: str):
        """Open the records.

        Args:
            folder: The folder with shards and schema.
            split: ``training`` or ``validate``.
        """
        self.schema = RecordSchema.read(Path(folder))
        self._shards = [Path(folder) / shard.file for shard in self.schema.splits.get(split, [])]
        missing = [str(path) for path in self._shards if not path.is_file()]
        if missing:
            raise ExperimentError(f"Record files are missing: {', '.join(missing)}. Run `discern process --force`.")
        self.n_cells = self.schema.n_cells(split)
        self.n_genes = self.schema.n_genes
        self.n_batches = len(self.schema.batches)

    def sparse_minibatches(self, batch_size: int, shuffle_seed: Any | None, drop_remainder: bool) -> tf.data.Dataset:
        """Read, shuffle and parse the records; whole minibatches at once."""
        paths = tf.constant([str(path) for path in self._shards])
        if shuffle_seed is not None:
            paths = tf.gather(paths, _permutation(len(self._shards), shuffle_seed))
        records = tf.data.Dataset.from_tensor_slices(paths).interleave(
            lambda file: tf.data.TFRecordDataset(file, compression_type="GZIP"),
            cycle_length=4,
            block_length=16,
        )
        if shuffle_seed is not None:
            blocks = records.batch(_SHUFFLE_CELLS).enumerate(1)
            records = blocks.map(
                lambda block, of_block: tf.gather(of_block, _permutation(tf.size(of_block), shuffle_seed, block))
            ).unbatch()
        return records.batch(batch_size, drop_remainder=drop_remainder).map(self._parse)

    def _parse(self, records: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.io.parse_example(records, _RECORD_FEATURES)
        gene_dtype = np.dtype(self.schema.gene_dtype)
        row_lengths = tf.strings.length(features["gene"]) // gene_dtype.itemsize
        return {
            "row": tf.repeat(tf.range(tf.size(row_lengths)), row_lengths),
            "gene": _decode(features["gene"], gene_dtype, tf.int32),
            "value": _decode(features["value"], np.dtype(self.schema.value_dtype), tf.float32),
            "batch": features["batch"],
            "library_size": features["library_size"],
        }


class MemorySource:
    """Cells of an AnnData with raw counts."""

    def __init__(self, adata: AnnData, batches: Sequence[str], cells: np.ndarray | None = None):
        """Hold the counts as tensors.

        Args:
            adata: Processed data with ``layers["counts"]``, ``obs["n_counts"]`` and batches.
            batches: Batch names in the order of the model.
            cells: Indices of the cells to serve; all when None.
        """
        counts = require_counts(adata.layers.get(COUNTS), "The data")
        cells = np.arange(adata.n_obs) if cells is None else np.asarray(cells)
        if not np.array_equal(cells, np.arange(adata.n_obs)):
            counts = counts[cells]
        self.n_cells, self.n_genes = counts.shape
        self.n_batches = len(batches)
        self._splits = tf.constant(counts.indptr.astype(np.int64))
        self._gene = tf.constant(counts.indices.astype(np.int32))
        self._value = tf.constant(counts.data.astype(np.float32))
        self._batch = tf.constant(batch_codes(adata.obs, batches)[cells])
        self._library_size = tf.constant(require_library_size(adata.obs).astype(np.float32)[cells])

    def sparse_minibatches(self, batch_size: int, shuffle_seed: Any | None, drop_remainder: bool) -> tf.data.Dataset:
        """Gather the cells of every minibatch from memory."""
        if shuffle_seed is None:
            cells = tf.data.Dataset.range(self.n_cells)
        else:
            cells = tf.data.Dataset.from_tensor_slices(_permutation(self.n_cells, shuffle_seed))
        return cells.batch(batch_size, drop_remainder=drop_remainder).map(self._gather)

    def _gather(self, cells: tf.Tensor) -> dict[str, tf.Tensor]:
        starts, ends = tf.gather(self._splits, cells), tf.gather(self._splits, cells + 1)
        entries = tf.ragged.range(starts, ends).flat_values
        return {
            "row": tf.repeat(tf.range(tf.size(cells)), ends - starts),
            "gene": tf.gather(self._gene, entries),
            "value": tf.gather(self._value, entries),
            "batch": tf.gather(self._batch, cells),
            "library_size": tf.gather(self._library_size, cells),
        }


def _decode(strings: tf.Tensor, dtype: np.dtype, to: tf.DType) -> tf.Tensor:
    if dtype == np.dtype("<u4"):  # decode_raw knows no uint32; four little bytes make one
        parts = tf.reshape(tf.io.decode_raw(tf.strings.reduce_join(strings), tf.uint8), (-1, 4))
        whole = tf.cast(parts, tf.int64) * tf.constant([1, 1 << 8, 1 << 16, 1 << 24], tf.int64)
        return tf.cast(tf.reduce_sum(whole, axis=1), to)
    kind = {"<u2": tf.uint16, "|u1": tf.uint8, "<f4": tf.float32}[dtype.str]
    return tf.cast(tf.io.decode_raw(tf.strings.reduce_join(strings), kind, little_endian=True), to)


def _permutation(size: Any, seed: Any, block: Any = 0) -> tf.Tensor:
    """Return the numbers below ``size`` in a random order, int64.

    Stateless, unlike ``Dataset.shuffle``: the order does not depend on TensorFlow's global seed.
    """
    both = tf.stack([tf.cast(seed, tf.int64), tf.cast(block, tf.int64)])
    keys = tf.random.stateless_uniform([size], both, minval=None, maxval=None, dtype=tf.int32)
    return tf.cast(tf.argsort(keys, stable=True), tf.int64)
