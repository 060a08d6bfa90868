"""Where the cell types are taken from, and groups of cells of one batch and type."""

import numpy as np
import pandas as pd

from discern.keys import BATCH, CELLTYPE, CELLTYPE_SOURCES


def find_celltypes(obs: pd.DataFrame) -> tuple[str, pd.Categorical] | None:
    """Return the first column that names cell types and its labels as categories, (n_cells,).

    Cells without a label stay without. None when ``obs`` has no such column.
    """
    for column in CELLTYPE_SOURCES:
        if column in obs:
            labels = pd.Categorical(obs[column])
            return column, labels.remove_unused_categories()
    return None


def batch_and_celltype(obs: pd.DataFrame) -> np.ndarray:
    """Return a code for every cell's batch and cell type, (n_cells,).

    The cells of a batch that have no type are one group.
    """
    batch = obs[BATCH].cat.codes.to_numpy(dtype=np.int64)
    if CELLTYPE not in obs:
        return batch
    celltype = pd.Categorical(obs[CELLTYPE])
    return batch * (len(celltype.categories) + 1) + celltype.codes + 1
