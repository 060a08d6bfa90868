"""Which new cells are validated and tested on; batches too small for that are trained on whole."""

import logging
from collections.abc import Sequence

import numpy as np

from discern.errors import counted
from discern.keys import TRAIN
from discern.preprocessing.config import SplitConfig
from discern.preprocessing.splitting import Generator, split_cells, split_sizes

log = logging.getLogger(__name__)


def split_query(rng: Generator, batch: np.ndarray, batches: Sequence[str], split: SplitConfig) -> np.ndarray:
    """Return the role of every new cell: train, valid or test, (n_cells,).

    Args:
        rng: Source of randomness for the validation cells; it moves on.
        batch: Batch code of every cell, (n_cells,).
        batches: Name of every batch code.
        split: How many cells are validated and tested on, and whether within each batch.

    Raises:
        DataError: A batch would get no training cell.
    """
    roles = np.full(len(batch), TRAIN, dtype=object)
    divided = _can_be_divided(batch, len(batches), split)
    if not divided.all():
        small = ", ".join(
            f"'{batches[code]}' ({counted((batch == code).sum(), 'cell')})" for code in np.unique(batch[~divided])
        )
        log.warning(
            "valid_cells %g gives no validation cell in batch %s: all its cells are trained on",
            split.valid_cells,
            small,
        )
    if divided.any():
        codes, code = np.unique(batch[divided], return_inverse=True)
        roles[divided] = split_cells(rng, code, [batches[number] for number in codes], split)
    return roles


def _can_be_divided(batch: np.ndarray, n_batches: int, split: SplitConfig) -> np.ndarray:
    """Return which cells are in a group that gets a validation cell, bool (n_cells,)."""
    group = batch if split.balanced_split else np.zeros_like(batch)
    if split.valid_cells >= len(batch):  # a whole number of cells, meant for the many of the reference
        return np.zeros(len(batch), dtype=bool)
    return (split_sizes(split.valid_cells, np.bincount(group, minlength=n_batches)) > 0)[group]
