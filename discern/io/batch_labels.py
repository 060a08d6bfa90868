"""Batch labels as the networks read them: one row per cell, one column per batch."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from discern.errors import DataError, counted, names_in_short
from discern.keys import BATCH


def np_one_hot(labels: pd.Series | pd.Categorical) -> np.ndarray:
    """Return the one-hot matrix of categorical labels, float32 (n_cells, n_categories).

    Raises:
        DataError: A label is missing; it would become a row of zeros.
    """
    categorical = labels if isinstance(labels, pd.Categorical) else pd.Categorical(labels)
    codes = np.asarray(categorical.codes)
    if (codes < 0).any():
        raise DataError(f"{int((codes < 0).sum())} of {len(codes)} cells have no label.")
    one_hot = np.zeros((len(codes), len(categorical.categories)), dtype=np.float32)
    one_hot[np.arange(len(codes)), codes] = 1.0
    return one_hot


def batch_names(obs: pd.DataFrame) -> list[str]:
    """Return the names of the batches in the order of their categories, which is that of the model's label columns."""
    return [str(name) for name in obs[BATCH].cat.categories]


def why_nothing_to_decode_into(batches: Sequence[str]) -> str | None:
    """Return what to tell users whose cells are all of one batch; None when there are several."""
    if len(batches) > 1:
        return None
    return (
        f"All cells are of one batch, '{batches[0]}': there is no other to decode them into. Name more files in "
        'input_ds.raw_input, or the obs column that tells the batches: {"FILE": "COLUMN"}.'
    )


def batch_codes(obs: pd.DataFrame, batches: Sequence[str]) -> np.ndarray:
    """Return the index of every cell's batch in ``batches``, matched by name, int64 (n_cells,).

    Raises:
        DataError: ``obs`` has no batch column or a cell belongs to a batch that is not in ``batches``.
    """
    if BATCH not in obs:
        raise DataError(f"Column '{BATCH}' is missing from obs. Found: {', '.join(map(str, obs.columns))}.")
    names = obs[BATCH].astype(str)
    codes = pd.Index(list(batches)).get_indexer(names)
    if (codes < 0).any():
        unknown = sorted(set(names[codes < 0]))
        cells = counted(int((codes < 0).sum()), "cell belongs", "cells belong")
        raise DataError(
            f"{cells} to batches the model does not know: {names_in_short(unknown)}. "
            f"Known: {', '.join(batches)}. Rename them, leave them out, or add them with `discern onlinetraining`."
        )
    return codes.astype(np.int64)
