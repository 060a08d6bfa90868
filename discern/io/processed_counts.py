"""The raw counts of processed data, read some cells at a time by whoever works on them."""

from pathlib import Path

import h5py

from discern.errors import DataError
from discern.io.reading import naming_the_file
from discern.io.record_format import require_counts
from discern.io.row_readers import RowReader, StoredColumns, StoredDenseRows, StoredSparseRows
from discern.keys import COUNTS


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
