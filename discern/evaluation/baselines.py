"""Honest baselines: what anybody gets without a model, and the best that could be hoped for."""

import numpy as np
import pandas as pd

from discern.evaluation.smoothing import smooth_over_neighbours

_FEWEST_FOR_COMBAT = 3


def target_mean(target: np.ndarray, n_cells: int) -> np.ndarray:
    """Return the mean of real target cells for every cell, (n_cells, n_genes), not to be written to.

    Args:
        target: Log expression of real target cells, (n_target, n_genes).
        n_cells: Number of cells to estimate.
    """
    return np.broadcast_to(target.mean(axis=0), (n_cells, target.shape[1]))


def target_type_means(target: np.ndarray, target_types: np.ndarray, types: np.ndarray) -> np.ndarray:
    """Return for every cell the mean of the real target cells of its type: the ceiling for those who know the labels.

    A cell without type, or of a type that the target lacks, gets the mean of all.

    Args:
        target: Log expression of real target cells, (n_target, n_genes).
        target_types: Codes of their types, int (n_target,); below 0: none.
        types: Codes of the cells to estimate, (n_cells,).
    """
    means = np.tile(target.mean(axis=0), (max(types.max(initial=-1), target_types.max(initial=-1)) + 2, 1))
    for one in np.unique(target_types[target_types >= 0]):
        means[one] = target[target_types == one].mean(axis=0)
    return means[np.maximum(types, -1)]  # the last row is that of all


def smooth_within_batches(expression: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Return every cell averaged with its nearest neighbours of the same batch.

    Args:
        expression: Log expression, (n_cells, n_genes).
        batches: Codes of the batches, (n_cells,).
    """
    smoothed = np.empty_like(expression)
    for one in np.unique(batches):
        smoothed[batches == one] = smooth_over_neighbours(expression[batches == one])
    return smoothed


def combat_into_target(expression: np.ndarray, batches: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return cells corrected by ComBat, as they would be in the target batch.

    ComBat brings all batches to their common mean and variance. For every gene its change of the target batch is linear;
    undoing it puts all cells on the scale of the target. Values below 0 become 0. Batches of fewer than three cells, too
    few to correct, stay as they are.

    Args:
        expression: Log expression of cells of other batches, (n_cells, n_genes).
        batches: Codes of their batches, >= 0, (n_cells,).
        target: Log expression of real target cells, (n_target, n_genes), three or more.

    Source:
        Johnson et al. 2007, Biostatistics 8:118, as in scanpy.
    """
    from anndata import AnnData
    from scanpy.preprocessing import combat

    corrected = expression.copy()
    usable = np.bincount(batches)[batches] >= _FEWEST_FOR_COMBAT
    varies = (target != target[0]).any(axis=0)
    if not usable.any() or not varies.any():
        return corrected
    labels = np.concatenate([batches[usable], np.full(len(target), -1)]).astype(str)
    data = AnnData(np.concatenate([expression[usable], target])[:, varies], obs=_of_batches(labels))
    with np.errstate(all="ignore"):  # genes that a batch never shows
        common = np.asarray(combat(data, key="batch", inplace=False), dtype=np.float32)
    n_usable = int(usable.sum())
    in_target = _undone(common[:n_usable], common[n_usable:], target[:, varies])
    broken = ~np.isfinite(in_target)
    in_target[broken] = expression[usable][:, varies][broken]
    corrected[np.ix_(usable, varies)] = np.maximum(in_target, 0)
    corrected[np.ix_(usable, ~varies)] = target[0, ~varies]
    return corrected


def _of_batches(labels: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"batch": pd.Categorical(labels)}, index=[str(cell) for cell in range(len(labels))])


def _undone(common: np.ndarray, common_target: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Apply to corrected cells the line that leads from the corrected target back to the target, gene by gene."""
    before, after = target.std(axis=0, dtype=np.float64), common_target.std(axis=0, dtype=np.float64)
    slope = np.divide(before, after, out=np.ones_like(before), where=after > 0)
    return ((common - common_target.mean(axis=0)) * slope + target.mean(axis=0)).astype(np.float32)
