"""From raw counts to what a network reads: library size, logarithm, fixed scaling, each optional.

The first two keep zeros at zero and run on the sparse values; scaling comes after densifying.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from discern.io.processed_config import library_size_normalisation
from discern.keys import DISCERN, FIXED_SCALING
from discern.scaling import GeneScaling, gene_scaling


@dataclass(frozen=True)
class InputTransform:
    """How a family transforms the counts it reads.

    Attributes:
        library_size: Every cell is normalised to this total; None leaves the counts.
        log: Take log1p.
        scaling: Per-gene mean and standard deviation; None leaves the expression.
    """

    library_size: float | None = None
    log: bool = False
    scaling: GeneScaling | None = None

    @classmethod
    def scaled_log_expression(cls, var: pd.DataFrame, uns: dict) -> "InputTransform":
        """Return the transform recorded in processed data: what DISCERN trains on."""
        fixed = uns.get(FIXED_SCALING)
        return cls(
            library_size=library_size_normalisation(uns.get(DISCERN, {})),
            log=True,
            scaling=None if fixed is None else gene_scaling(var, fixed),
        )

    def zeros(self, n_genes: int) -> np.ndarray:
        """The transformed value of a zero count, float32 (n_genes,)."""
        return np.zeros(n_genes, dtype=np.float32) if self.scaling is None else self.scaling.zeros

    def dense(self, counts: sparse.csr_matrix, library_size: np.ndarray) -> np.ndarray:
        """Return transformed cells, float32 (n_cells, n_genes); for slices of cells, not for whole data sets."""
        expression = counts.astype(np.float32).toarray()
        if self.library_size is not None:
            total = library_size.astype(np.float32)
            total[total == 0] = 1.0  # an empty cell stays all zero
            expression *= (self.library_size / total)[:, None]
        if self.log:
            np.log1p(expression, out=expression)
        return expression if self.scaling is None else self.scaling.scale(expression)
