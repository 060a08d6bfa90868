"""Drawing zeros: an estimated expression becomes zero with one minus its probability of being seen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from discern.errors import DataError, ShapeError
from discern.keys import FIXED_SCALING
from discern.scaling import gene_scaling


def draw_zeros(expression: np.ndarray, probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return expression that is zero where a uniform draw exceeds the probability of being seen.

    Args:
        expression: Estimated expression in a space where "not seen" is 0, (n_cells, n_genes).
        probabilities: P(count > 0), same shape.
        rng: One uniform number per entry is drawn from it.
    """
    if expression.shape != probabilities.shape:
        raise ShapeError(f"Expression has shape {expression.shape}, probabilities have {probabilities.shape}.")
    return np.where(probabilities < rng.random(expression.shape), np.float32(0.0), expression)


def sample_counts(
    counts: np.ndarray,
    probabilities: np.ndarray,
    var: pd.DataFrame | None = None,
    uns: Mapping[str, Any] | None = None,
    *,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Draw zeros from dropout probabilities; scaled values stay scaled.

    Args:
        counts: Decoded expression, (n_cells, n_genes).
        probabilities: P(count > 0), same shape.
        var: Gene annotation, needed when ``uns`` records a fixed scaling.
        uns: When it holds ``fixed_scaling``, a zero count has the value ``−mean/sd``.
        rng: Source of the uniform draws; a generator seeded with 0 when absent.

    Returns:
        The drawn expression, same shape and scale as ``counts``.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    if not uns or FIXED_SCALING not in uns:
        return draw_zeros(counts, probabilities, rng)
    if var is None:
        raise DataError("Scaled counts need `var` with the scaling of every gene.")
    scaling = gene_scaling(var, uns[FIXED_SCALING])
    return scaling.scale(draw_zeros(scaling.unscale(counts), probabilities, rng))
