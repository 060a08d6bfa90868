"""What a record file holds: one sparse cell per record, described by a schema that the reader checks.

A record is a ``tf.train.Example`` with the raw counts of one cell:

* ``gene``: indices of the genes that were seen, little-endian unsigned integers, ascending;
* ``value``: their counts, little-endian, of the narrowest type that holds every count of the data set;
* ``batch``: index into the schema's batch names; ``library_size``: the cell's total count;
* ``panel``, where some data sets did not measure all genes: 0 for all genes, else number n of ``unmeasured`` of the
  schema, counted from 1, which lists the genes the cell lacks. Such records are version 2, all others version 1.

Scaling and logarithm are not baked in: every model family transforms what it reads. This module needs no
TensorFlow, so that writing records costs neither its memory nor its start-up time.
"""

import struct
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from scipy import sparse


def _example_class() -> Any:
    """Build the ``tf.train.Example`` message class from its public description."""
    file = descriptor_pb2.FileDescriptorProto(name="discern/example.proto", package="discern", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, kind in (("Bytes", kinds.TYPE_BYTES), ("Float", kinds.TYPE_FLOAT), ("Int64", kinds.TYPE_INT64)):
        message = file.message_type.add(name=f"{name}List")
        message.field.add(name="value", number=1, type=kind, label=kinds.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("Bytes", "Float", "Int64"), start=1):
        feature.field.add(
            name=f"{name.lower()}_list",
            number=number,
            type=kinds.TYPE_MESSAGE,
            type_name=f".discern.{name}List",
            label=kinds.LABEL_OPTIONAL,
            oneof_index=0,
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    entry.field.add(
        name="value", number=2, type=kinds.TYPE_MESSAGE, type_name=".discern.Feature", label=kinds.LABEL_OPTIONAL
    )
    features.field.add(
        name="feature",
        number=1,
        type=kinds.TYPE_MESSAGE,
        type_name=".discern.Features.FeatureEntry",
        label=kinds.LABEL_REPEATED,
    )
    example = file.message_type.add(name="Example")
    example.field.add(
        name="features",
        number=1,
        type=kinds.TYPE_MESSAGE,
        type_name=".discern.Features",
        label=kinds.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("discern.Example"))


_Example = _example_class()


def serialise_cells(
    counts: sparse.csr_matrix,
    batch: np.ndarray,
    library_size: np.ndarray,
    gene_dtype: str,
    value_dtype: str,
    panel: np.ndarray | None = None,
) -> Iterator[bytes]:
    """Yield one serialised record per cell.

    Args:
        counts: Raw counts, (n_cells, n_genes), sorted indices.
        batch: Batch index of every cell, (n_cells,).
        library_size: Total count of every cell, (n_cells,).
        gene_dtype: NumPy type of the gene indices.
        value_dtype: NumPy type of the counts.
        panel: Which genes were measured in every cell, (n_cells,); all in all of them when None.
    """
    genes = counts.indices.astype(gene_dtype)
    values = counts.data.astype(value_dtype)
    for cell in range(counts.shape[0]):
        of_cell = slice(counts.indptr[cell], counts.indptr[cell + 1])
        example = _Example()
        feature = example.features.feature
        feature["gene"].bytes_list.value.append(genes[of_cell].tobytes())
        feature["value"].bytes_list.value.append(values[of_cell].tobytes())
        feature["batch"].int64_list.value.append(int(batch[cell]))
        feature["library_size"].float_list.value.append(float(library_size[cell]))
        if panel is not None:
            feature["panel"].int64_list.value.append(int(panel[cell]))
        yield example.SerializeToString(deterministic=True)


def frame(record: bytes) -> bytes:
    """Return the record with the length and the masked CRC-32C checksums of the TFRecord format."""
    length = struct.pack("<Q", len(record))
    return b"".join([length, _masked_crc(length), record, _masked_crc(record)])


def _masked_crc(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
