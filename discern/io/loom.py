"""Loom files: HDF5 with a dense genes x cells matrix."""

import html
import logging
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from discern.errors import DataError
from discern.io.external_parts import refuse_external_parts
from discern.io.raw_input import RawInput
from discern.io.row_readers import StoredDenseRows

_GENE_NAMES = ("Gene", "gene", "GeneName", "gene_name", "gene_names", "gene_symbols", "var_names", "Accession", "name")
_CELL_NAMES = ("CellID", "cell_id", "CellIDs", "obs_names", "barcode", "barcodes", "cell_names", "name")
_logger = logging.getLogger(__name__)


def read_loom(path: Path) -> RawInput:
    """Open a loom file of any version; attributes of shape (n, 1) count as (n,), wider ones are left out.

    Raises:
        DataError: The file has no matrix or no gene names.
    """
    with h5py.File(path, "r") as file:
        refuse_external_parts(file, path)
        if "matrix" not in file:
            raise DataError(f"{path} is no loom file: /matrix is missing. It holds: {', '.join(file) or 'nothing'}.")
        n_genes, n_cells = file["matrix"].shape
        var = _annotation(path, file, "row_attrs", n_genes)
        obs = _annotation(path, file, "col_attrs", n_cells)
        gene_names = next((name for name in _GENE_NAMES if name in var), None)
        if gene_names is None:
            raise DataError(
                f"{path} has no gene names. Row attributes: {', '.join(var) or 'none'}. Name one of them 'Gene'."
            )
        cell_names = next((name for name in _CELL_NAMES if name in obs), None)
        var = var.set_index(gene_names)
        obs = obs.set_index(cell_names) if cell_names else obs.set_axis(pd.RangeIndex(n_cells).astype(str))
        return RawInput(StoredDenseRows.of(path, file["matrix"], transposed=True), obs, var)


def _annotation(path: Path, file: h5py.File, group: str, length: int) -> pd.DataFrame:
    columns = {}
    for name, dataset in file.get(group, {}).items():
        values = dataset[()]
        if values.shape not in {(length,), (length, 1)}:
            _logger.info("%s: attribute %s/%s of shape %s is left out", path, group, name, values.shape)
            continue
        columns[name] = _plain(values.reshape(length))
    return pd.DataFrame(columns, index=pd.RangeIndex(length))


def _plain(values: np.ndarray) -> np.ndarray:
    """Return numbers as they are, and byte strings (XML-escaped in older files) as text."""
    if values.dtype.kind not in "SO":
        return values
    texts = [html.unescape(value.decode("utf-8") if isinstance(value, bytes) else str(value)) for value in values]
    return np.array(texts, dtype=object)
