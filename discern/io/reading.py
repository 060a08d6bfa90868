"""Read one raw input of any known format into the one form everything else works on."""

import csv
import difflib
import logging
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
from anndata import AnnData

from discern.errors import DataError, counted
from discern.io.cell_ranger import read_cell_ranger_folder, read_cell_ranger_h5
from discern.io.loom import read_loom
from discern.io.naming import SUFFIXES, file_suffix, unique_names
from discern.io.raw_counts import PROTEIN_EXPRESSION
from discern.io.raw_h5ad import read_raw_h5ad
from discern.io.raw_input import RawInput
from discern.io.tables import read_table

_READERS: dict[str, Callable[[Path], RawInput]] = {
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
    OverflowError,
    MemoryError,  # sizes that a damaged file claims
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
    opened = open_raw_input(path)
    placeholders = pd.RangeIndex(len(opened.obs)).astype(str)
    with naming_the_file(path):
        matrix = opened.rows.rows(0, len(opened.obs))
    adata = AnnData(matrix, obs=opened.obs.set_axis(placeholders), var=opened.var)
    if opened.proteins is not None:
        adata.obsm[PROTEIN_EXPRESSION] = opened.proteins.set_axis(placeholders)
    adata.obs_names = opened.obs.index  # set last: AnnData warns of repeated names
    return adata


def open_raw_input(file_path: Path) -> RawInput:
    """Open one input of any format that :func:`read_raw_input` knows; its counts stay where they are if they can.

    Text tables and matrix folders of Cell Ranger are read whole: they cannot be read cell by cell.

    Raises:
        DataError: The input is absent, of unknown format, unreadable or empty, or a gene has no name.
    """
    path = Path(file_path)
    with naming_the_file(path):
        contents = _reader_for(path)(path)
    n_cells, n_genes = contents.rows.shape
    if not n_cells or not n_genes:
        raise DataError(f"{path} is empty: {n_cells} cells x {n_genes} genes.")
    _require_fitting_annotation(path, contents)
    cells = pd.Index(contents.obs.index.astype(str), name=None)
    return replace(
        contents,
        obs=contents.obs.set_axis(cells),
        var=contents.var.set_axis(_gene_names(path, contents.var)),
        path=path,
    )


@contextmanager
def naming_the_file(path: Path | None) -> Iterator[None]:
    """Turn what libraries raise about a damaged file into an error that names the file.

    Raises:
        DataError: The block failed.
    """
    try:
        yield
    except DataError:
        raise
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"Cannot read {path or 'the data'}: {reason} ({type(error).__name__}). The file may be damaged, incomplete or of "
            "another format than its name says. Fetch or write it again."
        ) from error


def _reader_for(path: Path) -> Callable[[Path], RawInput]:
    if not path.exists():
        raise DataError(explain_absent(path))
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


def explain_absent(path: Path) -> str:
    """Return a message on a file that is not there, with names like it."""
    if not path.parent.is_dir():
        return f"{path} does not exist; neither does its folder {path.parent}. Correct the path."
    found = sorted(child.name for child in path.parent.iterdir())
    close = difflib.get_close_matches(path.name, found, n=3, cutoff=0.5)
    hint = (
        f" Similar names there: {', '.join(close)}."
        if close
        else f" {path.parent} holds {counted(len(found), 'other file')}."
    )
    return f"{path} does not exist.{hint} Correct the path."


def _require_fitting_annotation(path: Path, contents: RawInput) -> None:
    n_cells, n_genes = contents.rows.shape
    proteins = contents.obs if contents.proteins is None else contents.proteins
    for what, found, expected in (
        ("obs", len(contents.obs), n_cells),
        ("var", len(contents.var), n_genes),
        ("the proteins", len(proteins), n_cells),
    ):
        if found != expected:
            raise DataError(
                f"Cannot read {path}: {what} describes {found} rows, but the counts are {n_cells} cells x {n_genes} genes. "
                "The file may be damaged or incomplete. Fetch or write it again."
            )


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
        _logger.warning(
            "%s: %s more than once and got a suffix: %s",
            path,
            counted(n_renamed, "gene name occurs", "gene names occur"),
            renamed,
        )
    return names
