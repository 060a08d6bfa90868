"""The numbers of the split that training needs, as plain Python types."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from discern.keys import TEST, TRAIN, VALID


def split_summary(roles: np.ndarray, batch: np.ndarray, batches: Sequence[str]) -> dict[str, Any]:
    """Return cells per role and batch, the share of each batch and the totals.

    Args:
        roles: train, valid or test, (n_cells,).
        batch: Batch code of every cell, (n_cells,).
        batches: Name of every batch code.
    """
    per_batch = _per_batch(np.ones(len(batch), dtype=bool), batch, batches)
    summary: dict[str, Any] = {
        "batch_ratios": {name: count / len(batch) for name, count in per_batch.items()},
        "valid_cells_no": _per_batch(roles == VALID, batch, batches),
        "train_cells_no": _per_batch(roles == TRAIN, batch, batches),
        "total_count": len(batch),
        "total_train_count": int((roles == TRAIN).sum()),
        "total_valid_count": int((roles == VALID).sum()),
    }
    if (roles == TEST).any():
        summary["test_cells_no"] = _per_batch(roles == TEST, batch, batches)
        summary["total_test_count"] = int((roles == TEST).sum())
    return summary


def _per_batch(chosen: np.ndarray, batch: np.ndarray, batches: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(batch[chosen], minlength=len(batches))
    return {name: int(count) for name, count in zip(batches, counts, strict=True)}
