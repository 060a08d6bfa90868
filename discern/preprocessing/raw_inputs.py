"""From what a user gives, AnnData objects or paths, to one data set of raw counts.

``obs["n_genes"]`` counts the genes of every cell over all genes of its input.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from os import PathLike
from pathlib import Path

import numpy as np
from anndata import AnnData

from discern.errors import DataError, ParametersError
from discern.io.cell_store import CellStore, store_inputs
from discern.io.input_checks import Findings, check_counts, judge
from discern.io.merging import Join, join_annotation, merge_data_sets
from discern.io.naming import input_names
from discern.io.raw_counts import to_csr
from discern.io.reading import open_raw_input, read_raw_input
from discern.keys import BATCH, N_GENES
from discern.preprocessing.cells import OnDisk

PathName = str | PathLike[str]
InputFiles = Iterable[PathName] | Mapping[PathName, str | None]


def merge_objects(
    inputs: Mapping[str, AnnData], allow_non_counts: bool = False, join: Join = join_annotation
) -> AnnData:
    """Check and merge data sets in memory, which stay as they are.

    Args:
        inputs: Data sets by name, dense or sparse raw counts; those backed by a file are loaded.
        allow_non_counts: Fractional values are a warning instead of an error.
        join: Joins the annotation of the inputs.

    Raises:
        DataError: An input does not hold counts, or the inputs share no genes.
    """
    if not inputs:
        raise ParametersError("`inputs` is empty. Give at least one AnnData by name: inputs={'name': adata}.")
    loaded = {name: adata.to_memory() if adata.isbacked else adata for name, adata in inputs.items()}
    return _merge(loaded, None, allow_non_counts, join)


def merge_files(input_files: InputFiles, allow_non_counts: bool = False, join: Join = join_annotation) -> AnnData:
    """Read, check and merge files.

    Args:
        input_files: Paths, or paths with the obs column that names the batch.
        allow_non_counts: Fractional values are a warning instead of an error.
        join: Joins the annotation of the inputs.

    Raises:
        DataError: A file cannot be read or does not hold counts, or the files share no genes.
    """
    paths, columns = _named(input_files)
    raw = {name: read_raw_input(path) for name, path in paths.items()}
    return _merge(raw, columns, allow_non_counts, join)


def merge_files_on_disk(
    input_files: InputFiles, place: OnDisk, allow_non_counts: bool = False, join: Join = join_annotation
) -> tuple[AnnData, CellStore]:
    """Check and merge files without ever holding more than a few cells' counts.

    Args:
        input_files: Paths, or paths with the obs column that names the batch.
        place: Where the merged counts are written.
        allow_non_counts: Fractional values are a warning instead of an error.
        join: Joins the annotation of the inputs.

    Returns:
        The annotation of all cells, without X, and their counts.

    Raises:
        DataError: A file cannot be read or does not hold counts, or the files share no genes.
    """
    paths, batch_columns = _named(input_files)
    inputs = {name: open_raw_input(path) for name, path in paths.items()}
    joined = join(inputs, batch_columns)
    stored = store_inputs(list(inputs.values()), joined.columns, place.folder / "merged", place.workers)
    for (name, raw), found in zip(inputs.items(), stored.findings, strict=True):
        judge(reduce(Findings.merge, found), name, raw.obs.index, raw.var.index, allow_non_counts)
    joined.adata.obs[N_GENES] = stored.genes_per_cell
    _forget_unused_batches(joined.adata)
    return joined.adata, stored.store


def _named(input_files: InputFiles) -> tuple[dict[str, Path], dict[str, str | None]]:
    """Return path and batch column of every input by its name."""
    columns = dict(input_files) if isinstance(input_files, Mapping) else dict.fromkeys(_listed(input_files))
    if not columns:
        raise ParametersError("There is no raw data to read. Name files in input_ds.raw_input, or give `inputs`.")
    paths = [Path(path) for path in columns]
    names = input_names(paths)
    return dict(zip(names, paths, strict=True)), dict(zip(names, columns.values(), strict=True))


def _merge(
    raw: dict[str, AnnData], batch_columns: dict[str, str | None] | None, allow_non_counts: bool, join: Join
) -> AnnData:
    for name, adata in raw.items():
        check_counts(adata, name, allow_non_counts)
    merged, _ = merge_data_sets(raw, batch_columns, join)
    if merged.n_obs == 0:
        raise DataError(f"The inputs {', '.join(raw)} hold no cell.")
    merged.obs[N_GENES] = np.concatenate([np.diff(to_csr(adata.X).indptr) for adata in raw.values()]).astype(np.int64)
    _forget_unused_batches(merged)
    return merged


def _forget_unused_batches(merged: AnnData) -> None:
    merged.obs[BATCH] = merged.obs[BATCH].cat.remove_unused_categories()


def _listed(input_files: Iterable[PathName]) -> list[PathName]:
    return [input_files] if isinstance(input_files, str | PathLike) else list(input_files)
