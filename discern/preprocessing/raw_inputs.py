"""From what a user gives, AnnData objects or paths, to one data set of raw counts."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from anndata import AnnData

from discern.errors import DataError, ParametersError
from discern.io.input_checks import check_counts
from discern.io.merging import merge_data_sets
from discern.io.naming import input_names
from discern.io.reading import read_raw_input
from discern.keys import BATCH

PathName = str | PathLike[str]
InputFiles = Iterable[PathName] | Mapping[PathName, str | None]


def merge_objects(inputs: Mapping[str, AnnData], allow_non_counts: bool = False) -> AnnData:
    """Check and merge data sets in memory, which stay as they are.

    Args:
        inputs: Data sets by name, dense or sparse raw counts.
        allow_non_counts: Fractional values are a warning instead of an error.

    Raises:
        DataError: An input does not hold counts, or the inputs share no genes.
    """
    if not inputs:
        raise ParametersError("`inputs` is empty. Give at least one AnnData by name: inputs={'name': adata}.")
    return _merge(dict(inputs), None, allow_non_counts)


def merge_files(input_files: InputFiles, allow_non_counts: bool = False) -> AnnData:
    """Read, check and merge files.

    Args:
        input_files: Paths, or paths with the obs column that names the batch.
        allow_non_counts: Fractional values are a warning instead of an error.

    Raises:
        DataError: A file cannot be read or does not hold counts, or the files share no genes.
    """
    columns = dict(input_files) if isinstance(input_files, Mapping) else dict.fromkeys(_listed(input_files))
    if not columns:
        raise ParametersError("There is no raw data to read. Name files in input_ds.raw_input, or give `inputs`.")
    paths = [Path(path) for path in columns]
    names = input_names(paths)
    raw = {name: read_raw_input(path) for name, path in zip(names, paths, strict=True)}
    return _merge(raw, dict(zip(names, columns.values(), strict=True)), allow_non_counts)


def _merge(raw: dict[str, AnnData], batch_columns: dict[str, str | None] | None, allow_non_counts: bool) -> AnnData:
    for name, adata in raw.items():
        check_counts(adata, name, allow_non_counts)
    merged, _ = merge_data_sets(raw, batch_columns)
    if merged.n_obs == 0:
        raise DataError(f"The inputs {', '.join(raw)} hold no cell.")
    merged.obs[BATCH] = merged.obs[BATCH].cat.remove_unused_categories()
    return merged


def _listed(input_files: Iterable[PathName]) -> list[PathName]:
    return [input_files] if isinstance(input_files, str | PathLike) else list(input_files)
