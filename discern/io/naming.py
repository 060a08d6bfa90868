"""Names of inputs, genes and cells: telling, and each only once."""

import logging
import os.path
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from discern.errors import DataError

SUFFIXES = (".h5", ".h5ad", ".loom", ".txt", ".txt.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz")

_MATRIX_FOLDER = re.compile(r"(sample_)?(filtered|raw)_(gene|feature)_bc_matri(x|ces)(_mex)?|outs?|count|matrix")
_GENOMES_FOLDER = re.compile(r"(filtered|raw)_gene_bc_matrices(_mex)?")
_NUMBERED = re.compile(r"-[1-9]\d*$")
_logger = logging.getLogger(__name__)


def input_names(paths: Sequence[Path]) -> list[str]:
    """Return a unique name for every input: its file's stem, or a Cell Ranger folder's most telling part.

    Inputs of the same stem are told apart by the nearest parent folder that differs: ``a/x.h5ad`` and ``b/x.h5ad``
    become ``a_x`` and ``b_x``.

    Raises:
        DataError: The same path is given twice.
    """
    whole = [Path(os.path.normpath(Path(path).absolute())) for path in paths]
    for path, count in Counter(whole).items():
        if count > 1:
            raise DataError(f"{path} is given {count} times as raw_input. Name every file once.")
    tails = [_tail(path) for path in whole]
    names = [tail[-1] for tail in tails]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    for name in repeated:
        members = [i for i, tail in enumerate(tails) if tail[-1] == name]
        for i, longer in zip(members, _tell_apart([tails[i] for i in members]), strict=True):
            names[i] = longer
        _logger.warning(
            "%d inputs are called '%s'; their folders tell them apart: %s",
            len(members),
            name,
            ", ".join(names[i] for i in members),
        )
    return list(unique_names(pd.Index(names))[0])


def file_suffix(path: Path) -> str:
    """Return the longest known suffix of a file name in lower case, or its last suffix when none is known."""
    name = path.name.lower()
    known = [suffix for suffix in SUFFIXES if name.endswith(suffix)]
    return max(known, key=len) if known else path.suffix.lower()


def unique_names(names: pd.Index) -> tuple[pd.Index, int]:
    """Return the names with ``-1``, ``-2``, … behind repeated ones, and how many were changed; the first stays."""
    repeated = np.flatnonzero(names.duplicated())
    if not len(repeated):
        return names, 0
    result = names.to_numpy(dtype=object, copy=True)
    taken, last = set(result), Counter[str]()
    for position in repeated:
        name = result[position]
        last[name] += 1
        while f"{name}-{last[name]}" in taken:
            last[name] += 1
        result[position] = f"{name}-{last[name]}"
        taken.add(result[position])
    return pd.Index(result, name=names.name), len(repeated)


def free_names(names: Sequence[str], taken: Iterable[str]) -> list[str]:
    """Return the names with a suffix as of :func:`unique_names` behind those that are taken or repeated."""
    before = list(dict.fromkeys(taken))
    return [str(name) for name in unique_names(pd.Index([*before, *names], dtype=object))[0][len(before) :]]


def original_names(names: pd.Index) -> pd.Index:
    """Return the names without the suffix that :func:`unique_names` put behind repeated ones.

    A suffix is only taken for one where the name without it is there too: "AAAC-1" stays when there is no "AAAC".
    """
    shorter = pd.Index([_NUMBERED.sub("", name) for name in names.astype(str)], dtype=object)
    return names.where(~shorter.isin(names), shorter)


def _tail(path: Path) -> tuple[str, ...]:
    """Return the folders of a path and, last, the name it would have alone."""
    if file_suffix(path) in SUFFIXES and not path.is_dir():
        return (*path.parts[1:-1], path.name[: -len(file_suffix(path))])
    parts = path.parts[1:]
    while len(parts) > 1 and (_MATRIX_FOLDER.fullmatch(parts[-1]) or _GENOMES_FOLDER.fullmatch(parts[-2])):
        parts = parts[:-1]
    return parts


def _tell_apart(tails: list[tuple[str, ...]]) -> list[str]:
    """Return ``folder_name`` for tails of the same name, with the nearest folder that differs between all of them."""
    for level in range(2, min(map(len, tails)) + 1):
        folders = [tail[-level] for tail in tails]
        if len(set(folders)) == len(tails):
            return [f"{folder}_{tail[-1]}" for folder, tail in zip(folders, tails, strict=True)]
    shared = 0
    while all(len(tail) > shared + 1 and tail[shared] == tails[0][shared] for tail in tails):
        shared += 1
    return ["_".join(tail[shared:]) for tail in tails]
