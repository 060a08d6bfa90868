"""Which cells are trained on, validated on, tested on and marked for MMD. Generators are arguments."""

import logging
import math
from collections.abc import Sequence

import numpy as np

from discern.errors import DataError, counted
from discern.keys import TEST, TRAIN, VALID
from discern.preprocessing.config import SplitConfig

Generator = np.random.RandomState | np.random.Generator
log = logging.getLogger(__name__)


def split_cells(rng: Generator, batch: np.ndarray, batches: Sequence[str], split: SplitConfig) -> np.ndarray:
    """Return the role of every cell: train, valid or test, (n_cells,).

    Test cells are drawn by a generator of their own, so that asking for them does not change the validation cells.

    Args:
        rng: Source of randomness for the validation cells; it moves on.
        batch: Batch code of every cell, (n_cells,).
        batches: Name of every batch code.
        split: How many cells are validated and tested on, and whether within each batch.

    Raises:
        DataError: A batch gets no validation cell, or no cell is left to train on.
    """
    group = batch if split.balanced_split else np.zeros_like(batch)
    names = list(batches) if split.balanced_split else ["all batches"]
    sizes = np.bincount(group, minlength=len(names))
    n_valid, n_test = split_sizes(split.valid_cells, sizes), split_sizes(split.test_cells, sizes)
    _require_validation_cells(split.valid_cells, n_valid, sizes, names)
    _require_training_cells(n_valid + n_test, sizes, names)
    roles = np.full(len(batch), TRAIN, dtype=object)
    roles[draw_per_group(rng, group, n_valid, np.ones(len(batch), dtype=bool))] = VALID
    if split.test_cells:
        independent = np.random.default_rng([split.split_seed, 1])
        roles[draw_per_group(independent, group, n_test, roles == TRAIN)] = TEST
    for role in (TRAIN, VALID, *([TEST] if split.test_cells else [])):
        _report_absence(role, batch[roles == role], batches)
    return roles


def split_sizes(amount: float, group_sizes: np.ndarray) -> np.ndarray:
    """Return how many cells of each group are drawn, int64 (n_groups,).

    Args:
        amount: A ratio below 1: int(ratio · n) of each group; a whole number: that many of all groups together, in
            proportion to their sizes.
        group_sizes: Cells of each group, (n_groups,).

    Raises:
        DataError: A whole number of cells is not below the number of cells.
    """
    if amount < 1:
        return np.array([int(amount * int(size)) for size in group_sizes], dtype=np.int64)
    total = int(group_sizes.sum())
    if amount >= total:
        raise DataError(f"{amount:g} cells cannot be set aside from {total}. Give a ratio such as 0.1.")
    exact = amount / total * group_sizes
    sizes = np.floor(exact).astype(np.int64)
    largest_rests = np.argsort(sizes - exact, kind="stable")[: int(amount) - int(sizes.sum())]
    sizes[largest_rests] += 1
    return sizes


def draw_per_group(rng: Generator, group: np.ndarray, sizes: np.ndarray, eligible: np.ndarray) -> np.ndarray:
    """Draw cells of each group, in the order of the groups; the generator moves on.

    Args:
        rng: Source of randomness.
        group: Group code of every cell, (n_cells,).
        sizes: How many cells of each group are drawn, (n_groups,).
        eligible: Mask of the cells that may be drawn, (n_cells,).

    Returns:
        Mask of the cells drawn, (n_cells,).
    """
    drawn = np.zeros(len(group), dtype=bool)
    for code, size in enumerate(sizes):
        drawn[rng.choice(np.flatnonzero((group == code) & eligible), size, replace=False)] = True
    return drawn


def draw_for_mmd(rng: Generator, amount: float, candidates: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Draw cells for MMD, weighted by how frequent their group is among all cells.

    Args:
        rng: Source of randomness; untouched when all candidates are taken.
        amount: A ratio of the candidates, or a whole number > 1.
        candidates: Mask of the cells that may be drawn, (n_cells,).
        groups: Code of every cell's batch and cell type, (n_cells,).

    Returns:
        Mask of the cells drawn, (n_cells,).

    Raises:
        DataError: The ratio is so small that no cell is drawn.
    """
    cells = np.flatnonzero(candidates)
    size = int(amount * len(cells)) if amount <= 1 else min(int(amount), len(cells))
    if size == len(cells):
        return candidates.copy()
    if size == 0:
        raise DataError(
            f"mmd_cells {amount:g} of {counted(len(cells), 'validation cell')} is no cell. "
            f"Use at least {smallest_ratio(len(cells))}."
        )
    weights = np.bincount(groups)[groups[cells]].astype(np.float64)
    drawn = np.zeros_like(candidates)
    drawn[rng.choice(cells, size, replace=False, p=weights / weights.sum())] = True
    return drawn


def smallest_ratio(n_cells: int) -> float:
    """Return a short ratio, hardly above 1 / n_cells, of which int(ratio · n_cells) is one cell or more."""
    digits = 3 + len(str(n_cells))
    return math.ceil(10**digits / n_cells) / 10**digits


def _require_validation_cells(amount: float, n_valid: np.ndarray, sizes: np.ndarray, names: Sequence[str]) -> None:
    without = [(name, int(size)) for name, size, n in zip(names, sizes, n_valid, strict=True) if n == 0]
    if not without:
        return
    found = ", ".join(f"'{name}' ({counted(size, 'cell')})" for name, size in without)
    smallest = min(size for _, size in without)
    remedy = f"Use at least {smallest_ratio(smallest)}, or leave" if smallest > 1 else "Leave"
    raise DataError(f"valid_cells {amount:g} gives no validation cell in batch {found}. {remedy} these cells out.")


def _require_training_cells(set_aside: np.ndarray, sizes: np.ndarray, names: Sequence[str]) -> None:
    without = [
        f"'{name}' ({counted(size, 'cell')})"
        for name, size, n in zip(names, sizes, set_aside, strict=True)
        if n >= size
    ]
    if without:
        raise DataError(
            f"valid_cells and test_cells leave no cell to train on in batch {', '.join(without)}. Give smaller ratios."
        )


def _report_absence(role: str, batch_of_role: np.ndarray, batches: Sequence[str]) -> None:
    absent = [name for code, name in enumerate(batches) if code not in batch_of_role]
    if absent:
        log.warning("No cell of batch %s is in the split '%s'", ", ".join(absent), role)
