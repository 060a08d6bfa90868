"""AnnData files: only what the program needs is read, so that layers, graphs and ``raw`` cost no memory."""

import logging
import warnings
from pathlib import Path

import h5py
from anndata import OldFormatWarning, read_h5ad
from anndata.io import read_elem
from scipy import sparse

from discern.errors import DataError
from discern.io.input_checks import holds_counts
from discern.io.raw_counts import PROTEIN_EXPRESSION, RawCounts, dense_to_csr, protein_table, to_csr
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
            raise DataError(
                f"{path} is no .h5ad file: {', '.join(missing)} missing. It holds: {', '.join(file) or 'nothing'}."
            )
        if isinstance(file["obs"], h5py.Dataset):
            return _read_structured_arrays(path)
        obs, var = read_elem(file["obs"]), read_elem(file["var"])
        proteins = file.get(f"obsm/{PROTEIN_EXPRESSION}")
        return RawCounts(
            _counts(path, file), obs, var, None if proteins is None else protein_table(read_elem(proteins), obs.index)
        )


def _counts(path: Path, file: h5py.File) -> sparse.csr_matrix:
    """Return X or the counts layer; never both are in memory."""
    x, layer = _present(file, "X"), _present(file, f"layers/{COUNTS}")
    if x is None and layer is None:
        raise DataError(f"{path} has neither X nor layers['{COUNTS}']. Write the raw counts to X.")
    if layer is None:
        matrix = _matrix(x)
        if ("raw/X" in file or "raw.X" in file) and not holds_counts(matrix):
            _logger.warning("%s: X does not hold counts. If its raw does, write it to X: adata.raw.to_adata()", path)
        return matrix
    if x is not None and holds_counts(matrix := _matrix(x)):
        return matrix
    matrix = None
    matrix = _matrix(layer)
    if x is not None and not holds_counts(matrix):
        return _matrix(x)
    _logger.info("%s: X does not hold counts, so layers['%s'] is read", path, COUNTS)
    return matrix


def _matrix(item: h5py.Group | h5py.Dataset) -> sparse.csr_matrix:
    return dense_to_csr(item) if isinstance(item, h5py.Dataset) else to_csr(read_elem(item))


def _present(file: h5py.File, key: str) -> h5py.Group | h5py.Dataset | None:
    item = file.get(key)
    return None if item is None or item.attrs.get("encoding-type") == "null" else item


def _read_structured_arrays(path: Path) -> RawCounts:
    """Read a file of anndata before 0.7, whose annotation are structured arrays."""
    adata = read_h5ad(path)
    proteins = adata.obsm.get(PROTEIN_EXPRESSION)
    table = None if proteins is None else protein_table(proteins, adata.obs_names)
    return RawCounts(to_csr(adata.X), adata.obs, adata.var, table)
