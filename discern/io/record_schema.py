"""The schema of a folder of records: which genes, batches and files it holds, and whether they fit the processed data."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from discern.errors import ExperimentError, ShapeError
from discern.io.checksums import file_checksum
from discern.io.count_dtypes import GENE_DTYPES, VALUE_DTYPES
from discern.io.measured_genes import panels_without

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
            if content["gene_dtype"] not in GENE_DTYPES or content["value_dtype"] not in VALUE_DTYPES:
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
