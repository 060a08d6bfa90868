"""From serialised records to sparse counts, a whole minibatch at once."""

import numpy as np
import tensorflow as tf

from discern.io.record_schema import RecordSchema

_FEATURES = {
    "gene": tf.io.FixedLenFeature([], tf.string),
    "value": tf.io.FixedLenFeature([], tf.string),
    "batch": tf.io.FixedLenFeature([], tf.int64),
    "library_size": tf.io.FixedLenFeature([], tf.float32),
}
_PANEL = {"panel": tf.io.FixedLenFeature([], tf.int64)}


def parse_records(records: tf.Tensor, schema: RecordSchema) -> dict[str, tf.Tensor]:
    """Return the cells of serialised records as :class:`~discern.io.cell_sources.CellSource` describes them.

    Args:
        records: Serialised examples, string (n_cells,).
        schema: Tells the types of their bytes.
    """
    features = tf.io.parse_example(records, _FEATURES | _PANEL if schema.unmeasured else _FEATURES)
    gene_dtype = np.dtype(schema.gene_dtype)
    n_entries = tf.cast(tf.strings.length(features["gene"]) // gene_dtype.itemsize, tf.int64)
    cells = {
        "splits": tf.concat([[0], tf.cumsum(n_entries)], axis=0),
        "gene": _decode(features["gene"], gene_dtype, tf.int32),
        "value": _decode(features["value"], np.dtype(schema.value_dtype), tf.float32),
        "batch": features["batch"],
        "library_size": features["library_size"],
    }
    return cells | {"panel": features["panel"]} if schema.unmeasured else cells


def _decode(strings: tf.Tensor, dtype: np.dtype, to: tf.DType) -> tf.Tensor:
    joined = tf.strings.reduce_join(strings)
    if dtype == np.dtype("<u4"):  # decode_raw knows no uint32; four little bytes make one
        parts = tf.reshape(tf.io.decode_raw(joined, tf.uint8), (-1, 4))
        whole = tf.cast(parts, tf.int64) * tf.constant([1, 1 << 8, 1 << 16, 1 << 24], tf.int64)
        return tf.cast(tf.reduce_sum(whole, axis=1), to)
    kind = {"<u2": tf.uint16, "|u1": tf.uint8, "<f4": tf.float32}[dtype.str]
    return tf.cast(tf.io.decode_raw(joined, kind, little_endian=True), to)
