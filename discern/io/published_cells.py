"""Cells in the published form: pairs of (inputs, targets) by the published names, and the published record files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from anndata import AnnData

from discern.errors import DataError
from discern.io.cell_sources import MemorySource
from discern.io.count_dtypes import narrowest_dtypes
from discern.io.minibatches import minibatches
from discern.io.processed_counts import require_counts
from discern.io.tfrecord_writer import CellLabels
from discern.io.transform import InputTransform
from discern.keys import BATCH, COUNTS, MEASURED


def as_autoencoder_input(minibatch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (inputs, targets) by the published names: decode into the own batch, reconstruct the input.

    Where the minibatch tells which genes were measured, so do the targets.
    """
    inputs = {
        "input_data": minibatch["expression"],
        "batch_input_enc": minibatch["batch"],
        "batch_input_dec": minibatch["batch"],
    }
    targets = {"decoder_counts": minibatch["expression"], "decoder_dropouts": minibatch["expression"]}
    return inputs, targets | {MEASURED: minibatch[MEASURED]} if MEASURED in minibatch else targets


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
        labels = CellLabels.of(adata, *narrowest_dtypes(counts))
        return labels.records(counts, slice(None))
    transform = InputTransform.scaled_log_expression(adata.var, adata.uns)
    cells = minibatches(MemorySource(adata, batches), transform, batch_size=256)
    return cells.unbatch().map(as_autoencoder_input)


def parse_tfrecords(tfr_files: Sequence[Path] | Path, genes_no: int, n_labels: int) -> tf.data.Dataset:
    """Return the cells of published record files one by one as (inputs, targets).

    A published record holds one dense cell: float32 scaled expression, one-hot batch, and a closing 1.0. Folders of
    this program's records are read with :class:`~discern.io.cell_sources.RecordSource`.

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
