"""Read one raw input of any known format into the one form everything else works on."""

import csv
import difflib
import logging
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from anndata import AnnData

from discern.errors import DataError
from discern.io.cell_ranger import read_cell_ranger_folder, read_cell_ranger_h5
from discern.io.loom import read_loom
from discern.io.naming import SUFFIXES, file_suffix, unique_names
from discern.io.raw_counts import PROTEIN_EXPRESSION, RawCounts
from discern.io.raw_h5ad import read_raw_h5ad
from discern.io.tables import read_table

_READERS: dict[str, Callable[[Path], RawCounts]] = {
    ".h5": read_cell_ranger_h5,
    ".h5ad": read_raw_h5ad,
    ".loom": read_loom,
    **dict.fromkeys((".csv", ".csv.gz"), partial(read_table, separator=",")),
    **dict.fromkeys((".tsv", ".tsv.gz", ".txt", ".txt.gz"), partial(read_table, separator="\t")),
}
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    RuntimeError,
    csv.Error,
    zlib.error,
)
_logger = logging.getLogger(__name__)


def read_raw_input(file_path: Path) -> AnnData:
    """Read one input: .h5 (10x), .h5ad, .loom, .csv, .tsv, .txt (genes x cells, also .gz) or a Cell Ranger folder.

    Only X, ``obs``, ``var`` and ``obsm["protein_expression"]`` are kept. Gene names are made unique; cell names may
    repeat until inputs are merged.

    Args:
        file_path: The file or folder; it is never changed.

    Returns:
        X is CSR float32 with sorted indices and no stored zero, (n_cells, n_genes).

    Raises:
        DataError: The input is absent, of unknown format, unreadable or empty, or a gene has no name.
    """
    path = Path(file_path)
    reader = _reader_for(path)
    try:
        return _annotated(path, reader(path))
    except DataError:
        raise
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"Cannot read {path}: {reason} ({type(error).__name__}). The file may be damaged, incomplete or of another "
            "format than its name says. Fetch or write it again."
        ) from error


def _reader_for(path: Path) -> Callable[[Path], RawCounts]:
    if not path.exists():
        raise DataError(_absent(path))
    if path.is_dir():
        return read_cell_ranger_folder
    if path.name.lower().endswith(_ARCHIVES):
        raise DataError(f"{path} is an archive. Unpack it (tar -xzf or unzip) and give the folder with the matrix.")
    if path.name.lower().endswith((".mtx", ".mtx.gz")):
        raise DataError(f"{path} is one file of a Cell Ranger folder. Give the folder: {path.parent}.")
    suffix = file_suffix(path)
    if suffix not in _READERS:
        raise DataError(
            f"{path} has the unknown suffix '{suffix}'. Known: {', '.join(SUFFIXES)}, or a Cell Ranger folder."
        )
    return _READERS[suffix]


def _absent(path: Path) -> str:
    if not path.parent.is_dir():
        return f"{path} does not exist; neither does its folder {path.parent}. Correct raw_input."
    found = sorted(child.name for child in path.parent.iterdir())
    close = difflib.get_close_matches(path.name, found, n=3, cutoff=0.5)
    hint = f" Similar names there: {', '.join(close)}." if close else f" {path.parent} holds {len(found)} other files."
    return f"{path} does not exist.{hint} Correct raw_input."


def _annotated(path: Path, contents: RawCounts) -> AnnData:
    n_cells, n_genes = contents.matrix.shape
    if not n_cells or not n_genes:
        raise DataError(f"{path} is empty: {n_cells} cells x {n_genes} genes.")
    placeholders = pd.RangeIndex(n_cells).astype(str)
    adata = AnnData(
        contents.matrix,
        obs=contents.obs.set_axis(placeholders),
        var=contents.var.set_axis(_gene_names(path, contents.var)),
    )
    if contents.proteins is not None:
        adata.obsm[PROTEIN_EXPRESSION] = contents.proteins.set_axis(placeholders)
    adata.obs_names = pd.Index(contents.obs.index.astype(str), name=None)  # set last: AnnData warns of repeated names
    return adata


def _gene_names(path: Path, var: pd.DataFrame) -> pd.Index:
    if pd.api.types.is_numeric_dtype(var.index):
        columns = ", ".join(map(str, var.columns)) or "none"
        raise DataError(
            f"The gene names of {path} are numbers. Set var_names to gene names; columns of var: {columns}."
        )
    nameless = int((var.index.isna() | (var.index.astype(str).str.strip() == "")).sum())
    if nameless:
        raise DataError(f"{nameless} of {len(var)} genes of {path} have no name. Name them or leave them out.")
    names, n_renamed = unique_names(pd.Index(var.index.astype(str), name=None))
    if n_renamed:
        renamed = ", ".join(names[names != var.index.astype(str)][:3])
        _logger.warning("%s: %d gene names occur more than once and got a suffix: %s", path, n_renamed, renamed)
    return names
