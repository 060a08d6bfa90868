"""AnnData files: only what the program needs is read, so that layers, graphs and ``raw`` cost no memory."""

import logging
import warnings
from pathlib import Path

import h5py
from anndata import OldFormatWarning, read_h5ad
from anndata.io import read_elem

from discern.errors import DataError
from discern.io.external_parts import refuse_external_parts
from discern.io.input_checks import holds_counts
from discern.io.raw_counts import PROTEIN_EXPRESSION, protein_table, to_csr
from discern.io.raw_input import RawInput
from discern.io.row_readers import RowReader, RowsInMemory, StoredColumns, StoredDenseRows, StoredSparseRows
from discern.keys import COUNTS

_logger = logging.getLogger(__name__)


def read_raw_h5ad(path: Path) -> RawInput:
    """Open the counts, ``obs``, ``var`` and the proteins of an AnnData file of any age.

    When X does not hold counts but ``layers["counts"]`` does, the layer is taken.

    Raises:
        DataError: The file is no AnnData file or holds no matrix.
    """
    with h5py.File(path, "r") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", OldFormatWarning)
        refuse_external_parts(file, path)
        missing = [key for key in ("obs", "var") if key not in file]
        if missing:
            raise DataError(
                f"{path} is no .h5ad file: {', '.join(missing)} missing. It holds: {', '.join(file) or 'nothing'}."
            )
        if isinstance(file["obs"], h5py.Dataset):
            return _read_structured_arrays(path)
        obs, var = read_elem(file["obs"]), read_elem(file["var"])
        proteins = file.get(f"obsm/{PROTEIN_EXPRESSION}")
        table = None if proteins is None else protein_table(read_elem(proteins), obs.index)
        return RawInput(_counts(path, file), obs, var, table)


def _counts(path: Path, file: h5py.File) -> RowReader:
    """Return the reader of X or of the counts layer."""
    x, layer = (_rows(path, file.get(key)) for key in ("X", f"layers/{COUNTS}"))
    if x is None:
        if layer is None:
            raise DataError(f"{path} has neither X nor layers['{COUNTS}']. Write the raw counts to X.")
        return layer
    if layer is None:
        if ("raw/X" in file or "raw.X" in file) and not holds_counts(x):
            _logger.warning("%s: X does not hold counts. If its raw does, write it to X: adata.raw.to_adata()", path)
        return x
    if holds_counts(x) or not holds_counts(layer):
        return x
    _logger.info("%s: X does not hold counts, so layers['%s'] is read", path, COUNTS)
    return layer


def _rows(path: Path, item: h5py.Group | h5py.Dataset | None) -> RowReader | None:
    if item is None or item.attrs.get("encoding-type") == "null":
        return None
    if isinstance(item, h5py.Dataset):
        return StoredDenseRows.of(path, item)
    kind = str(item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", "")))
    if kind not in {"csr_matrix", "csr", "csc_matrix", "csc"}:
        return RowsInMemory(to_csr(read_elem(item)))
    n_cells, n_genes = (int(size) for size in item.attrs.get("shape", item.attrs.get("h5sparse_shape")))
    reader = StoredSparseRows if kind.startswith("csr") else StoredColumns
    return reader(path, item.name, (n_cells, n_genes))


def _read_structured_arrays(path: Path) -> RawInput:
    """Read a file of anndata before 0.7, whose annotation are structured arrays."""
    adata = read_h5ad(path)
    proteins = adata.obsm.get(PROTEIN_EXPRESSION)
    table = None if proteins is None else protein_table(proteins, adata.obs_names)
    return RawInput(RowsInMemory(to_csr(adata.X)), adata.obs, adata.var, table)
