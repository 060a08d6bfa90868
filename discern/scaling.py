"""Fixed per-gene scaling: (expression − mean) / standard deviation.

The published column ``var_scaling`` and the key ``var`` hold a *standard deviation*; here it is called ``std``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from discern.errors import DataError
from discern.keys import MEAN_SCALING, VAR_SCALING

GENES = "genes"
_KEYS = {"mean", "var", "add_to_mean", "add_to_var"}


@dataclass(frozen=True)
class GeneScaling:
    """Mean and standard deviation of every gene, float32, (n_genes,) each."""

    mean: np.ndarray
    std: np.ndarray

    @property
    def zeros(self) -> np.ndarray:
        """The scaled value of a zero count, (n_genes,); bit-identical to scaling a zero."""
        return (np.float32(0.0) - self.mean) / self.std

    def scale(self, expression: np.ndarray) -> np.ndarray:
        """Scale dense expression, (n_cells, n_genes)."""
        return (np.asarray(expression, dtype=np.float32) - self.mean) / self.std

    def unscale(self, scaled: np.ndarray) -> np.ndarray:
        """Undo :meth:`scale` without clipping."""
        return np.asarray(scaled, dtype=np.float32) * self.std + self.mean


def gene_scaling(var: pd.DataFrame, fixed_scaling: Mapping[str, Any]) -> GeneScaling:
    """Return the scaling that ``fixed_scaling`` describes for the genes of ``var``.

    Args:
        var: Gene annotation; ``"genes"`` takes ``mean_scaling`` and ``var_scaling`` from it.
        fixed_scaling: ``mean`` and ``var``: ``"genes"`` or a number; optional ``add_to_mean``, ``add_to_var``.

    Raises:
        DataError: A needed column is missing, a key is unknown, or a standard deviation is not positive.
    """
    unknown = set(fixed_scaling) - _KEYS
    if unknown:
        raise DataError(f"fixed_scaling has unknown keys {sorted(unknown)}. Known: {sorted(_KEYS)}.")
    mean = _per_gene(var, fixed_scaling.get("mean", 0.0), MEAN_SCALING) + float(fixed_scaling.get("add_to_mean", 0.0))
    std = _per_gene(var, fixed_scaling.get("var", 1.0), VAR_SCALING) + float(fixed_scaling.get("add_to_var", 0.0))
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise DataError(
            f"fixed_scaling {dict(fixed_scaling)} gives a mean or deviation that is not finite, or a deviation <= 0."
        )
    return GeneScaling(mean.astype(np.float32), std.astype(np.float32))


def _per_gene(var: pd.DataFrame, value: Any, column: str) -> np.ndarray:
    if isinstance(value, str):
        if value != GENES:
            raise DataError(f"fixed_scaling takes a number or '{GENES}', received {value!r}.")
        if column not in var:
            raise DataError(
                f"fixed_scaling uses '{GENES}', but var has no column '{column}'. Run `discern process` first."
            )
        return var[column].to_numpy(dtype=np.float64)
    return np.full(len(var), float(value))
