"""Cell Ranger output: HDF5 files and matrix folders of version 2 and 3."""

import logging
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy.io import mmread

from discern.errors import DataError
from discern.io.external_parts import refuse_external_parts
from discern.io.naming import unique_names
from discern.io.raw_counts import to_csr
from discern.io.raw_input import RawInput
from discern.io.row_readers import RowReader, RowsInMemory, StoredSparseRows

GENE_IDS = "gene_ids"
FEATURE_TYPES = "feature_types"
_GENES, _PROTEINS = "Gene Expression", "Antibody Capture"
_MATRICES = ("matrix.mtx.gz", "matrix.mtx")
_FEATURES = ("features.tsv.gz", "genes.tsv", "features.tsv", "genes.tsv.gz")
_BARCODES = ("barcodes.tsv.gz", "barcodes.tsv")
_DEPTH = 3
_logger = logging.getLogger(__name__)


def read_cell_ranger_h5(path: Path) -> RawInput:
    """Read the HDF5 file of Cell Ranger 2 (one group per genome) or 3 (group ``matrix``).

    Raises:
        DataError: The file is no such file, or holds several genomes in separate groups.
    """
    with h5py.File(path, "r") as file:
        refuse_external_parts(file, path)
        if "matrix" in file:
            group = file["matrix"]
            features = group["features"]
            columns = {GENE_IDS: "id", FEATURE_TYPES: "feature_type", "genome": "genome"}
            annotation = {column: _strings(features[key]) for column, key in columns.items() if key in features}
            var = pd.DataFrame(annotation, index=_strings(features["name"]))
        else:
            group = _only_genome(path, file)
            var = pd.DataFrame({GENE_IDS: _strings(group["genes"])}, index=_strings(group["gene_names"]))
        n_genes, n_cells = (int(size) for size in group["shape"][:])
        barcodes = _strings(group["barcodes"])
        name = group.name

    def stored(chosen: np.ndarray | None) -> RowReader:
        return StoredSparseRows(path, name, (n_cells, n_genes), chosen)

    return _split_features(path, stored, barcodes, var)


def read_cell_ranger_folder(folder: Path) -> RawInput:
    """Read a matrix folder of Cell Ranger 2 (``genes.tsv``) or 3 (``features.tsv.gz``), or a parent of exactly one.

    Raises:
        DataError: No or several matrix folders are found, a file is missing, or the files do not fit together.
    """
    place = find_matrix_folder(folder)
    matrix_file, features_file, barcodes_file = (_one_of(place, names) for names in (_MATRICES, _FEATURES, _BARCODES))
    features, barcodes = _table(features_file), _table(barcodes_file)
    matrix = mmread(matrix_file, spmatrix=True)
    if matrix.shape != (len(features), len(barcodes)):
        raise DataError(
            f"{matrix_file} holds {matrix.shape[0]} genes x {matrix.shape[1]} cells, but {features_file.name} has "
            f"{len(features)} and {barcodes_file.name} {len(barcodes)} lines. Take the three files from one run."
        )
    columns = {GENE_IDS: features[0].to_numpy()}
    if 2 in features:
        columns[FEATURE_TYPES] = features[2].to_numpy()
    var = pd.DataFrame(columns, index=features[1 if 1 in features else 0].to_numpy())
    cells = to_csr(matrix.T)
    del matrix

    def in_memory(chosen: np.ndarray | None) -> RowReader:
        return RowsInMemory(cells if chosen is None else to_csr(cells[:, chosen]))

    return _split_features(place, in_memory, barcodes[0].to_numpy(), var)


def find_matrix_folder(folder: Path) -> Path:
    """Return the one folder at or below ``folder`` that holds a matrix; a filtered one goes before a raw one.

    Raises:
        DataError: There is none, or more than one.
    """
    level, found = [folder], []
    for _ in range(_DEPTH + 1):
        found += [place for place in level if any((place / name).is_file() for name in _MATRICES)]
        level = sorted(child for place in level for child in place.iterdir() if child.is_dir())
    filtered = [place for place in found if "filtered" in str(place.relative_to(folder))]
    if len(found) > 1 and len(filtered) == 1:
        _logger.info("%s holds %d matrices; the filtered one is read: %s", folder, len(found), filtered[0])
        return filtered[0]
    if len(found) == 1:
        return found[0]
    if not found:
        raise DataError(
            f"{folder} is no Cell Ranger folder: matrix.mtx or matrix.mtx.gz is missing there and below. "
            f"Found: {', '.join(sorted(child.name for child in folder.iterdir())[:8]) or 'nothing'}."
        )
    raise DataError(f"{folder} holds {len(found)} matrix folders. Name one of: {', '.join(map(str, found))}.")


def _split_features(
    path: Path, columns: Callable[[np.ndarray | None], RowReader], barcodes: np.ndarray, var: pd.DataFrame
) -> RawInput:
    """Return the gene expression, (n_cells, n_genes), and apart from it the antibody counts.

    Args:
        path: For messages.
        columns: Gives the reader of chosen features; None: of all.
        barcodes: Names of the cells.
        var: All features.
    """
    obs = pd.DataFrame(index=pd.Index(barcodes))
    types = var[FEATURE_TYPES].to_numpy() if FEATURE_TYPES in var else np.full(len(var), _GENES)
    is_gene, is_protein = types == _GENES, types == _PROTEINS
    if is_gene.all():
        return RawInput(columns(None), obs, var)
    if not is_gene.any():
        raise DataError(f"{path} holds no '{_GENES}' features. Found: {', '.join(sorted(set(types)))}.")
    dropped = int((~is_gene & ~is_protein).sum())
    _logger.info("%s: %d antibodies kept apart, %d features of other types left out", path, is_protein.sum(), dropped)
    proteins = None
    if is_protein.any():
        names, _ = unique_names(var.index[is_protein])
        rows = columns(np.flatnonzero(is_protein))
        counts = np.concatenate([rows.rows(start, stop).toarray() for start, stop in rows.blocks()])
        proteins = pd.DataFrame(counts, index=obs.index, columns=names)
    return RawInput(columns(np.flatnonzero(is_gene)), obs, var[is_gene], proteins)


def _only_genome(path: Path, file: h5py.File) -> h5py.Group:
    genomes = [name for name, item in file.items() if isinstance(item, h5py.Group) and "gene_names" in item]
    if len(genomes) == 1:
        return file[genomes[0]]
    if genomes:
        raise DataError(f"{path} holds several genomes: {', '.join(genomes)}. Split it into one file per genome.")
    hint = " It looks like an .h5ad file: rename it." if {"obs", "var"} <= set(file) else ""
    raise DataError(f"{path} is no Cell Ranger .h5 file. It holds: {', '.join(file) or 'nothing'}.{hint}")


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    found = ", ".join(sorted(child.name for child in folder.iterdir()))
    raise DataError(f"{folder} lacks {' or '.join(names[:2])}. Found: {found}.")


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3)


def _strings(dataset: h5py.Dataset) -> np.ndarray:
    return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in dataset[:]], dtype=object)
