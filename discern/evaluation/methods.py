"""The columns of the table: the model's estimates and the baselines, one at a time, so that memory is bounded."""

from collections.abc import Iterator

import numpy as np

from discern.evaluation.baselines import combat_into_target, smooth_within_batches, target_mean, target_type_means
from discern.evaluation.reconstruction import Reconstruction
from discern.evaluation.scoring import Cells
from discern.evaluation.table import Method

RECONSTRUCTED = Method("reconstructed", "estimate", "What the decoder expects in the target batch (estimated_counts).")
POSTERIOR = Method("own counts", "estimate", "The same corrected by what the cell's own counts say (posterior_counts).")
DRAWN = Method("zeros drawn", "estimate", "What the decoder expects after drawing zeros (X of a projected file).")
AS_MEASURED = Method("as measured", "baseline", "The cells' own expression.")
SMOOTHED = Method("neighbours", "baseline", "Every cell averaged with 14 nearest neighbours of its own batch.")
COMBAT = Method("ComBat", "baseline", "ComBat between batches, on the scale of the target.")
TARGET_MEAN = Method("target mean", "baseline", "The mean of the target batch for every cell.")
TYPE_MEANS = Method("target type means", "ceiling", "The target's mean of every cell's type: knows the labels.")
SPLIT_HALF = Method("target split half", "ceiling", "Real target cells against others of them: the noise ceiling.")
ALL = (RECONSTRUCTED, POSTERIOR, DRAWN, AS_MEASURED, SMOOTHED, COMBAT, TARGET_MEAN, TYPE_MEANS, SPLIT_HALF)
FLAT = (TARGET_MEAN, TYPE_MEANS)  # cells of one type do not differ at all


def model_estimates(reconstruction: Reconstruction) -> Iterator[tuple[Method, np.ndarray]]:
    """Yield the estimates of the model, float32 (n_cells, n_genes) each."""
    yield RECONSTRUCTED, reconstruction.expression
    if reconstruction.posterior is not None:
        yield POSTERIOR, reconstruction.posterior
    if reconstruction.drawn is not None:
        yield DRAWN, reconstruction.drawn.toarray()


def baseline_estimates(measured: Cells, learnt: Cells) -> Iterator[tuple[Method, np.ndarray]]:
    """Yield what anybody gets without a model, float32 (n_cells, n_genes) each.

    Args:
        measured: The cells to estimate, as measured.
        learnt: Real target cells, other ones than those that estimates are compared with.
    """
    yield AS_MEASURED, measured.expression
    yield SMOOTHED, smooth_within_batches(measured.expression, measured.batches)
    yield COMBAT, combat_into_target(measured.expression, measured.batches, learnt.expression)
    yield TARGET_MEAN, target_mean(learnt.expression, len(measured.expression))
    if (measured.types >= 0).any():
        yield TYPE_MEANS, target_type_means(learnt.expression, learnt.types, measured.types)
