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

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pandas as pd
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from scipy import sparse

from discern.errors import DataError, ExperimentError, ShapeError
from discern.io.checksums import file_checksum
from discern.io.measured_genes import panels_without
from discern.keys import N_COUNTS

SCHEMA_FILE = "schema.json"
FORMAT = "discern-sparse-cells"
VERSION = 1
VERSION_WITH_PANELS = 2
TRAINING = "training"
VALIDATION = "validate"
_CHECKSUM = "crc32c"


@dataclass(frozen=True)
class Shard:
    """One record file and the number of cells in it.

    Attributes:
        file: Its name.
        n_cells: Number of cells.
        n_bytes: Its size; 0 when unknown.
        crc32c: Its checksum, eight hexadecimal digits; empty when unknown.
    """

    file: str
    n_cells: int
    n_bytes: int = 0
    crc32c: str = ""

    def __post_init__(self) -> None:
        known = isinstance(self.file, str) and isinstance(self.crc32c, str)
        sizes = (self.n_cells, self.n_bytes)
        if not known or Path(self.file).name != self.file or any(type(size) is not int or size < 0 for size in sizes):
            raise ValueError(f"{self.file!r} with {self.n_cells!r} cells is no record file")

    def measured(self, folder: Path) -> "Shard":
        """Return the same file with its size and checksum."""
        path = folder / self.file
        return replace(self, n_bytes=path.stat().st_size, crc32c=f"{file_checksum(path):08x}")


@dataclass(frozen=True)
class RecordSchema:
    """What a folder of records holds.

    Attributes:
        n_genes: Number of genes.
        genes_sha256: Digest of their names.
        batches: Names of the batches.
        gene_dtype: NumPy type of the gene indices.
        value_dtype: NumPy type of the counts.
        splits: Record files of each split.
        format: Name of the format.
        version: Its version.
        cells_sha256: Digest of the cells; empty when unknown.
        unmeasured: Genes that the panels after the first lack, ascending; empty where all cells have all genes.
    """

    n_genes: int
    genes_sha256: str
    batches: list[str]
    gene_dtype: str
    value_dtype: str
    splits: dict[str, list[Shard]] = field(default_factory=dict)
    format: str = FORMAT
    version: int = VERSION
    cells_sha256: str = ""
    unmeasured: list[list[int]] = field(default_factory=list)

    @property
    def panels(self) -> np.ndarray | None:
        """Whether a gene was measured, bool (n_panels, n_genes); None when all were in all cells."""
        return panels_without(self.unmeasured, self.n_genes)

    def n_cells(self, split: str) -> int:
        """Number of cells of one split."""
        return sum(shard.n_cells for shard in self.splits.get(split, []))

    def to_json(self) -> dict[str, Any]:
        """Return the content of the schema file, with a checksum of the rest."""
        content = asdict(self)
        if not self.unmeasured:
            del content["unmeasured"]
        return content | {_CHECKSUM: _checksum_of(content)}

    @classmethod
    def read(cls, folder: Path) -> "RecordSchema":
        """Read the schema of a folder of records.

        Raises:
            ExperimentError: The folder has no schema, or one this version cannot read.
        """
        path = folder / SCHEMA_FILE
        if not path.is_file():
            raise ExperimentError(f"{folder} holds no {SCHEMA_FILE}. Run `discern process` to write the records anew.")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT or content["version"] not in (VERSION, VERSION_WITH_PANELS):
                raise ExperimentError(
                    f"{path} describes {content['format']} version {content['version']}, this program reads {FORMAT} "
                    f"versions {VERSION} and {VERSION_WITH_PANELS}. Run `discern process --force` to write the records anew."
                )
            recorded = content.pop(_CHECKSUM, None)  # files of earlier versions have none
            if recorded is not None and recorded != _checksum_of(content):
                raise ValueError("its content does not fit its checksum")
            if content["gene_dtype"] not in _GENE_DTYPES or content["value_dtype"] not in _VALUE_DTYPES:
                raise ValueError(f"unknown types {content['gene_dtype']} and {content['value_dtype']}")
            splits = {name: [Shard(**shard) for shard in shards] for name, shards in content.pop("splits").items()}
            schema = cls(splits=splits, **content)
            if (schema.panels is not None) != (schema.version == VERSION_WITH_PANELS):
                raise ValueError(f"version {schema.version} with {len(schema.unmeasured)} lists of unmeasured genes")
            return schema
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ExperimentError(f"{path} is damaged ({error}). Run `discern process --force`.") from error

    def check(self, genes: Sequence[str], batches: Sequence[str], cells_sha256: str = "") -> None:
        """Refuse records of other genes, batches or cells; a digest that is empty is unknown and fits all.

        Raises:
            ShapeError: The genes, batches or cells differ from those of the records.
        """
        if self.genes_sha256 != genes_digest(genes) or self.n_genes != len(genes):
            raise ShapeError(
                f"The records hold {self.n_genes} genes, the processed data {len(genes)} (or the same number of others). "
                "They belong to different runs: run `discern process --force`."
            )
        if list(batches) != self.batches:
            raise ShapeError(
                f"The records hold the batches {self.batches}, the processed data {list(batches)}. "
                "They belong to different runs: run `discern process --force`."
            )
        if self.cells_sha256 and cells_sha256 and self.cells_sha256 != cells_sha256:
            raise ShapeError(
                "The records hold other cells than the processed data, or split or counted them otherwise. "
                "They belong to different runs: run `discern process --force`."
            )


def genes_digest(genes: Iterable[str]) -> str:
    """Return a digest of the gene names in their order."""
    return hashlib.sha256("\n".join(genes).encode()).hexdigest()


def _checksum_of(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"{google_crc32c.value(text.encode()):08x}"


_GENE_DTYPES = ("<u2", "<u4")
_VALUE_DTYPES = ("|u1", "<u2", "<u4", "<f4")  # each holds all that the ones before it hold as counts


def narrowest_dtypes(counts: sparse.csr_matrix) -> tuple[str, str]:
    """Return the narrowest (gene, value) types that hold ``counts`` without loss."""
    gene = narrowest_gene_dtype(counts.shape[1])
    values = counts.data
    if values.size == 0:
        return gene, "|u1"
    if (values < 0).any() or (values != np.floor(values)).any() or values.max() >= 2**32:
        return gene, "<f4"
    highest = values.max()
    return gene, "|u1" if highest < 2**8 else "<u2" if highest < 2**16 else "<u4"


def narrowest_gene_dtype(n_genes: int) -> str:
    """Return the narrowest type of the indices of so many genes."""
    return "<u2" if n_genes <= 2**16 else "<u4"


def common_value_dtype(dtypes: Iterable[str]) -> str:
    """Return the narrowest type of counts that holds what each of ``dtypes`` was the narrowest for."""
    return max(dtypes, key=_VALUE_DTYPES.index, default=_VALUE_DTYPES[0])


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


def require_counts(counts: Any, where: str) -> sparse.csr_matrix:
    """Return CSR counts with sorted indices.

    Raises:
        DataError: There are no counts.
    """
    if counts is None:
        raise DataError(f"{where} holds no layer 'counts' with raw counts. Run `discern process` on the raw data.")
    matrix = counts if isinstance(counts, sparse.csr_matrix) else sparse.csr_matrix(counts)
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    return matrix


def require_library_size(obs: pd.DataFrame) -> np.ndarray:
    """Return the total count of every cell, (n_cells,).

    Raises:
        DataError: The column is absent.
    """
    if N_COUNTS not in obs:
        raise DataError(
            f"Column '{N_COUNTS}', the total count of every cell, is missing from obs. "
            f"Found: {', '.join(map(str, obs.columns))}. Run `discern process` on the raw data."
        )
    return obs[N_COUNTS].to_numpy()
