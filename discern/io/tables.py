"""Text tables of counts: genes x cells, the first column holds the genes, the first line the cells."""

import csv
import gzip
import logging
import re
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
from scipy import sparse

from discern.errors import DataError, counted
from discern.io.raw_counts import to_csr
from discern.io.raw_input import RawInput
from discern.io.row_readers import RowsInMemory

_BARCODE = re.compile(r"[ACGT]{12,}(-\d+)?")
_CHUNK_VALUES = 4_000_000
_SHORTEST_CHUNK = 64
_logger = logging.getLogger(__name__)


def read_table(path: Path, separator: str) -> RawInput:
    """Read a table of counts, genes x cells, in chunks of genes; only one chunk is ever dense.

    The first line may have a name for the column of genes or not (as R writes it).

    Raises:
        DataError: An entry is empty or not a number, or the table has no cells.
    """
    with _open(path) as text:
        header = next(csv.reader([text.readline().rstrip("\r\n")], delimiter=separator), [])
        if len(header) < 2:
            raise DataError(
                f"The first line of {path} has {counted(len(header), 'column')} when split at {separator!r}. "
                "It must name the cells of a genes x cells table; .csv is split at commas, .tsv and .txt at tabs."
            )
        rows = max(_SHORTEST_CHUNK, _CHUNK_VALUES // len(header))
        genes: list[str] = []
        parts: list[sparse.csr_matrix] = []
        cells = header[1:]
        try:
            chunks = pd.read_csv(
                text,
                sep=separator,
                header=None,
                chunksize=rows,
                dtype={0: str},
                keep_default_na=False,
                low_memory=False,
            )
            for chunk in chunks:
                cells = _cells(path, header, chunk.shape[1])
                genes += chunk[0].tolist()
                parts.append(sparse.csr_matrix(_values(path, chunk, cells)))
        except pd.errors.EmptyDataError:
            pass
    if genes and sum(bool(_BARCODE.fullmatch(gene)) for gene in genes[:100]) > min(len(genes), 100) / 2:
        _logger.warning(
            "The rows of %s look like cells (%s). Tables must be genes x cells: transpose it.", path, genes[0]
        )
    matrix = (
        sparse.vstack(parts, format="csr").T.tocsr() if parts else sparse.csr_matrix((len(cells), 0), dtype=np.float32)
    )
    obs, var = pd.DataFrame(index=pd.Index(cells)), pd.DataFrame(index=pd.Index(genes, dtype=object))
    return RawInput(RowsInMemory(to_csr(matrix)), obs, var)


_ABSENT = {"", "na", "nan", "n/a", "null", "none"}


def _open(path: Path) -> TextIO:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _cells(path: Path, header: list[str], n_columns: int) -> list[str]:
    if n_columns == len(header):
        return header[1:]
    if n_columns == len(header) + 1:
        return header
    raise DataError(f"The first line of {path} has {counted(len(header), 'column')}, the lines below it {n_columns}.")


def _values(path: Path, chunk: pd.DataFrame, cells: list[str]) -> np.ndarray:
    """Return the numbers of a chunk, float32 (n_genes, n_cells)."""
    entries = chunk.iloc[:, 1:]
    try:
        values = entries.to_numpy(dtype=np.float32)
    except (ValueError, TypeError):
        values = entries.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float32)
    bad = np.argwhere(np.isnan(values))
    if len(bad):
        row, column = bad[0]
        received = entries.iat[row, column]
        what = "empty or NA" if str(received).strip().lower() in _ABSENT else repr(received)
        found = counted(len(bad), "entry is not a number", "entries are not numbers")
        raise DataError(
            f"{path}: {found}; the first is gene {chunk.iat[row, 0]}, cell {cells[column]}: {what}. "
            "Every entry must be a count; is the file complete?"
        )
    return values
