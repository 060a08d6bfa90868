"""The raw counts of processed data, read some cells at a time by whoever works on them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from discern.errors import DataError
from discern.io.reading import naming_the_file
from discern.io.row_readers import RowReader, StoredColumns, StoredDenseRows, StoredSparseRows
from discern.keys import COUNTS, N_COUNTS


def open_processed_counts(path: Path) -> RowReader:
    """Return the reader of ``layers["counts"]`` of an h5ad.

    Raises:
        DataError: The file is unreadable or holds no counts.
    """
    with naming_the_file(path), h5py.File(path, "r") as file:
        item = file.get(f"layers/{COUNTS}")
        if item is None:
            require_counts(None, str(path))
        if isinstance(item, h5py.Dataset):
            return StoredDenseRows.of(path, item)
        kind = str(item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", "")))
        if kind not in ("csr_matrix", "csr", "csc_matrix", "csc"):
            raise DataError(
                f"layers['{COUNTS}'] of {path} is no matrix but {kind or 'unknown'}. Run `discern process`."
            )
        n_cells, n_genes = (int(size) for size in item.attrs.get("shape", item.attrs.get("h5sparse_shape")))
        reader = StoredSparseRows if kind.startswith("csr") else StoredColumns
        return reader(path, item.name, (n_cells, n_genes))


def require_counts(counts: Any, where: str) -> sparse.csr_matrix:
    """Return CSR counts with sorted indices.

    Raises:
        DataError: There are no counts.
    """
    if counts is None:
        raise DataError(f"{where} holds no layer 'counts' with raw counts. Run `discern process` on the raw data.")
    matrix = counts if isinstance(counts, sparse.csr_matrix) else sparse.csr_matrix(counts)
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    return matrix


def require_library_size(obs: pd.DataFrame) -> np.ndarray:
    """Return the total count of every cell, (n_cells,).

    Raises:
        DataError: The column is absent.
    """
    if N_COUNTS not in obs:
        raise DataError(
            f"Column '{N_COUNTS}', the total count of every cell, is missing from obs. "
            f"Found: {', '.join(map(str, obs.columns))}. Run `discern process` on the raw data."
        )
    return obs[N_COUNTS].to_numpy()
