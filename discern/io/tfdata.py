"""Cells as tf.data minibatches: from record files or from memory through one pipeline.

Cells stay sparse and raw until a whole minibatch is densified and transformed. A minibatch is a dictionary:
``expression`` (n_cells, n_genes) float32 after the family's transform, ``batch`` (n_cells, n_batches) one-hot
float32, ``library_size`` (n_cells,) float32.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from anndata import AnnData

from discern.errors import DataError, ExperimentError
from discern.io.batch_labels import batch_codes
from discern.io.record_format import (
    RecordSchema,
    narrowest_dtypes,
    require_counts,
    require_library_size,
    serialise_cells,
)
from discern.io.transform import InputTransform
from discern.keys import BATCH, COUNTS

Minibatch = dict[str, Any]
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


def minibatches(source: CellSource, transform: InputTransform, batch_size: int) -> tf.data.Dataset:
    """Return transformed, dense minibatches of all cells of ``source``, in order; the last may be smaller.

    Args:
        source: Where the cells come from.
        transform: What the family reads.
        batch_size: Cells per minibatch.
    """
    cells = source.sparse_minibatches(batch_size, None, drop_remainder=False)
    return _dense(cells, source, transform).apply(
        tf.data.experimental.assert_cardinality(-(-source.n_cells // batch_size))
    )


def training_minibatches(
    source: CellSource, transform: InputTransform, batch_size: int, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """Return shuffled minibatches, epoch after epoch without end.

    The order within an epoch follows from the seed and the number of the epoch alone, so that training can be taken
    up at any epoch. Cells that do not fill a last minibatch are left out of that epoch.

    Args:
        source: Where the cells come from.
        transform: What the family reads.
        batch_size: Cells per minibatch; a smaller source makes one minibatch of all its cells.
        seed: Drives the order.
        first_epoch: Number of the first epoch.
    """
    size = min(batch_size, source.n_cells)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        return source.sparse_minibatches(size, seed * 1_000_003 + number, drop_remainder=True)

    return _dense(tf.data.Dataset.counter(first_epoch).flat_map(epoch), source, transform, size)


def reshuffled_minibatches(
    source: CellSource, transform: InputTransform, batch_size: int, seed: int
) -> tf.data.Dataset:
    """Return the minibatches of one epoch, in another order each time they are iterated over.

    Args:
        source: Where the cells come from.
        transform: What the family reads.
        batch_size: Cells per minibatch; a smaller source makes one minibatch of all its cells.
        seed: Drives the orders.
    """
    size = min(batch_size, source.n_cells)
    orders = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).take(1)
    cells = orders.flat_map(lambda order: source.sparse_minibatches(size, order, drop_remainder=True))
    return _dense(cells, source, transform, size).apply(
        tf.data.experimental.assert_cardinality(minibatches_per_epoch(source, batch_size))
    )


def minibatches_per_epoch(source: CellSource, batch_size: int) -> int:
    """Return how many minibatches of :func:`training_minibatches` make one epoch."""
    return max(1, source.n_cells // batch_size)


def _dense(
    sparse_minibatches: tf.data.Dataset, source: CellSource, transform: InputTransform, size: int | None = None
) -> tf.data.Dataset:
    def densify(cells: dict[str, tf.Tensor]) -> Minibatch:
        n_cells = tf.size(cells["batch"], out_type=tf.int64)
        value = cells["value"]
        if transform.library_size is not None:
            value *= tf.gather(transform.library_size / cells["library_size"], cells["row"])
        if transform.log:
            value = tf.math.log1p(value)
        position = tf.cast(cells["row"], tf.int64) * source.n_genes + tf.cast(cells["gene"], tf.int64)
        flat = tf.scatter_nd(position[:, None], value, [n_cells * source.n_genes])
        expression = tf.ensure_shape(tf.reshape(flat, (-1, source.n_genes)), (size, source.n_genes))
        if transform.scaling is not None:
            expression = (expression - transform.scaling.mean) / transform.scaling.std
        return {
            "expression": expression,
            "batch": tf.one_hot(cells["batch"], source.n_batches),
            "library_size": cells["library_size"],
        }

    options = tf.data.Options()
    options.deterministic = True
    return sparse_minibatches.map(densify).with_options(options).prefetch(2)


def as_autoencoder_input(minibatch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (inputs, targets) by the published names: decode into the own batch, reconstruct the input."""
    inputs = {
        "input_data": minibatch["expression"],
        "batch_input_enc": minibatch["batch"],
        "batch_input_dec": minibatch["batch"],
    }
    return inputs, {"decoder_counts": minibatch["expression"], "decoder_dropouts": minibatch["expression"]}


def make_dataset_from_anndata(adata: AnnData, for_tfrecord: bool = False) -> Any:
    """Return the cells of processed data one by one.

    Args:
        adata: Processed data with raw counts.
        for_tfrecord: Yield serialised records (bytes) for ``TFRecordsWriter`` instead.

    Returns:
        A tf.data.Dataset of single cells (inputs, targets), or an iterator over serialised records.
    """
    batches = list(adata.obs[BATCH].cat.categories)
    if for_tfrecord:
        counts = require_counts(adata.layers.get(COUNTS), "The data")
        codes = batch_codes(adata.obs, batches)
        return serialise_cells(counts, codes, require_library_size(adata.obs), *narrowest_dtypes(counts))
    transform = InputTransform.scaled_log_expression(adata.var, adata.uns)
    cells = minibatches(MemorySource(adata, batches), transform, batch_size=256)
    return cells.unbatch().map(as_autoencoder_input)


def parse_tfrecords(tfr_files: Sequence[Path] | Path, genes_no: int, n_labels: int) -> tf.data.Dataset:
    """Return the cells of published record files one by one as (inputs, targets).

    A published record holds one dense cell: float32 scaled expression, one-hot batch, and a closing 1.0. Folders of
    this program's records are read with :class:`RecordSource`.

    Args:
        tfr_files: GZIP-compressed record files.
        genes_no: Number of genes.
        n_labels: Number of batches.

    Raises:
        DataError: The first record has another length: the file belongs to other data.
    """
    files = [tfr_files] if isinstance(tfr_files, str | Path) else list(tfr_files)
    length = genes_no + n_labels + 1
    records = tf.data.TFRecordDataset([str(file) for file in files], compression_type="GZIP")
    for record in records.take(1):
        found = len(record.numpy()) // 4
        if found != length:
            raise DataError(
                f"{files[0]} holds {found} values per cell; {genes_no} genes and {n_labels} batches need {length}."
            )

    def parse(record: tf.Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
        values = tf.ensure_shape(tf.io.decode_raw(record, tf.float32), (length,))
        return as_autoencoder_input({"expression": values[:genes_no], "batch": values[genes_no:-1]})

    return records.map(parse)
