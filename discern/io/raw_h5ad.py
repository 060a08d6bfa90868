"""AnnData files: only what the program needs is read, so that layers, graphs and ``raw`` cost no memory."""

import logging
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import OldFormatWarning, read_h5ad
from anndata.io import read_elem
from scipy import sparse

from discern.errors import DataError
from discern.io.input_checks import holds_counts
from discern.io.raw_counts import PROTEIN_EXPRESSION, RawCounts, dense_to_csr, to_csr
from discern.keys import COUNTS

_logger = logging.getLogger(__name__)


def read_raw_h5ad(path: Path) -> RawCounts:
    """Read the counts, ``obs``, ``var`` and the proteins of an AnnData file of any age.

    When X does not hold counts but ``layers["counts"]`` does, the layer is taken.

    Raises:
        DataError: The file is no AnnData file or holds no matrix.
    """
    with h5py.File(path, "r") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", OldFormatWarning)
        missing = [key for key in ("obs", "var") if key not in file]
        if missing:
            raise DataError(f"{path} is no .h5ad file: {', '.join(missing)} missing. It holds: {', '.join(file) or 'nothing'}.")
        if isinstance(file["obs"], h5py.Dataset):
            return _read_structured_arrays(path)
        obs, var = read_elem(file["obs"]), read_elem(file["var"])
        proteins = file.get(f"obsm/{PROTEIN_EXPRESSION}")
        return RawCounts(
            _counts(path, file), obs, var, None if proteins is None else _protein_table(read_elem(proteins), obs.index)
        )


def _counts(path: Path, file: h5py.File) -> sparse.csr_matrix:
    matrix = _matrix(file["X"]) if "X" in file and not _is_null(file["X"]) else None
    if matrix is not None and holds_counts(matrix):
        return matrix
    layer = file.get(f"layers/{COUNTS}")
    if layer is not None:
        counts = _matrix(layer)
        if matrix is None or holds_counts(counts):
            _logger.info("%s: X does not hold counts, so layers['%s'] is read", path, COUNTS)
            return counts
    if matrix is None:
        raise DataError(f"{path} has neither X nor layers['{COUNTS}']. Write the raw counts to X.")
    if "raw/X" in file or "raw.X" in file:
        _logger.warning("%s: X does not hold counts. If its raw does, write it to X: adata.raw.to_adata()", path)
    return matrix


def _matrix(item: h5py.Group | h5py.Dataset) -> sparse.csr_matrix:
    return dense_to_csr(item) if isinstance(item, h5py.Dataset) else to_csr(read_elem(item))


def _is_null(item: h5py.Group | h5py.Dataset) -> bool:
    return item.attrs.get("encoding-type") == "null"


def _read_structured_arrays(path: Path) -> RawCounts:
    """Read a file of anndata before 0.7, whose annotation are structured arrays."""
    adata = read_h5ad(path)
    proteins = adata.obsm.get(PROTEIN_EXPRESSION)
    table = None if proteins is None else _protein_table(proteins, adata.obs_names)
    return RawCounts(to_csr(adata.X), adata.obs, adata.var, table)


def _protein_table(values: Any, cells: pd.Index) -> pd.DataFrame:
    """Return protein counts, (n_cells, n_proteins), as a table; an array's columns are numbered."""
    if isinstance(values, pd.DataFrame):
        return values.set_axis(cells)
    dense = values.toarray() if sparse.issparse(values) else np.asarray(values)
    return pd.DataFrame(dense, index=cells, columns=[f"protein_{i}" for i in range(dense.shape[1])])
