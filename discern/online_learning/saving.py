"""One processed data set of old and new cells in memory, described as a whole."""

from pathlib import Path

import numpy as np
from anndata import AnnData
from scipy import sparse

from discern.io.data import DISCERNData
from discern.io.processed_counts import require_counts
from discern.io.writing import write_h5ad
from discern.keys import COUNTS
from discern.online_learning.joined_annotation import joined_annotation
from discern.preprocessing.filtering import count_cells_per_gene
from discern.preprocessing.row_chunks import row_chunks


def save_data(file: str | Path, data: AnnData, old_data: AnnData) -> DISCERNData:
    """Write old and new cells into one processed file, which appears whole or not at all.

    Args:
        file: The h5ad file.
        data: New cells from :class:`~discern.online_learning.OnlineWAERecipe`.
        old_data: The processed cells it was made for.

    Returns:
        What was written.

    Raises:
        ShapeError: The genes differ.
        DataError: One of them lacks raw counts.
    """
    joined = join_cells(old_data, data)
    write_h5ad(joined, Path(file))
    return joined


def join_cells(old: AnnData, new: AnnData) -> DISCERNData:
    """Return old cells followed by new ones; neither is changed. See :func:`joined_annotation`.

    Raises:
        ShapeError: The genes differ.
        DataError: One of them lacks raw counts.
    """
    counts = require_counts(new.layers.get(COUNTS), "The new data")
    every_cell = np.ones(new.n_obs, dtype=bool)
    joined = joined_annotation(old, new, count_cells_per_gene(row_chunks(counts), every_cell, new.n_vars))
    matrices = [(new.X, counts)]
    if old.n_obs:
        matrices.insert(0, (old.X, require_counts(old.layers.get(COUNTS), "The old data")))
    joined.X = sparse.vstack([sparse.csr_matrix(expression) for expression, _ in matrices], format="csr")
    joined.layers[COUNTS] = sparse.vstack([of_part for _, of_part in matrices], format="csr")
    return joined
