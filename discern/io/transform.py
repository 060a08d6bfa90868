"""From raw counts to what a network reads: library size, logarithm, fixed scaling, each optional.

The first two keep zeros at zero and run on the sparse values; scaling comes after densifying. Of genes that were not
measured in a cell a network reads their mean, whatever the counts say.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from discern.errors import DataError
from discern.io.processed_config import library_size_normalisation
from discern.keys import DISCERN, FIXED_SCALING, MEAN_SCALING
from discern.scaling import GeneScaling, gene_scaling


@dataclass(frozen=True)
class InputTransform:
    """How a family transforms the counts it reads.

    Attributes:
        library_size: Every cell is normalised to this total; None leaves the counts.
        log: Take log1p.
        scaling: Per-gene mean and standard deviation; None leaves the expression.
        gene_means: Mean expression of every gene before scaling, float32 (n_genes,); None when it is not known.
    """

    library_size: float | None = None
    log: bool = False
    scaling: GeneScaling | None = None
    gene_means: np.ndarray | None = None

    @classmethod
    def scaled_log_expression(cls, var: pd.DataFrame, uns: dict) -> "InputTransform":
        """Return the transform recorded in processed data: what DISCERN trains on."""
        fixed = uns.get(FIXED_SCALING)
        return cls(
            library_size=library_size_normalisation(uns.get(DISCERN, {})),
            log=True,
            scaling=None if fixed is None else gene_scaling(var, fixed),
            gene_means=var[MEAN_SCALING].to_numpy(dtype=np.float32) if MEAN_SCALING in var else None,
        )

    def zeros(self, n_genes: int) -> np.ndarray:
        """The transformed value of a zero count, float32 (n_genes,)."""
        return np.zeros(n_genes, dtype=np.float32) if self.scaling is None else self.scaling.zeros

    @property
    def fill(self) -> np.ndarray:
        """What is read of genes that were not measured, their transformed mean, float32 (n_genes,).

        Raises:
            DataError: The mean expression is not known.
        """
        scaling, means = self.scaling, self.gene_means
        if means is None and scaling is not None and np.ptp(scaling.mean) > 0:
            means = scaling.mean  # models saved by earlier versions tell no others; by default scaling subtracts these
        if means is None:
            raise DataError(
                "Some genes were not measured in all data sets, and nothing tells their mean expression: var has no column "
                f"'{MEAN_SCALING}', or the model was saved by an earlier version. Process the data and train anew."
            )
        return means if scaling is None else scaling.scale(means)

    def dense(
        self, counts: sparse.csr_matrix, library_size: np.ndarray, measured: np.ndarray | None = None
    ) -> np.ndarray:
        """Return transformed cells, float32 (n_cells, n_genes); for slices of cells, not for whole data sets.

        Args:
            counts: Raw counts, (n_cells, n_genes).
            library_size: Total count of every cell, (n_cells,).
            measured: Whether each gene was measured in each cell, bool (n_cells, n_genes); all were when None.
        """
        expression = counts.astype(np.float32).toarray()
        if self.library_size is not None:
            total = library_size.astype(np.float32)
            total[total == 0] = 1.0  # an empty cell stays all zero
            expression *= (self.library_size / total)[:, None]
        if self.log:
            np.log1p(expression, out=expression)
        if self.scaling is not None:
            expression = self.scaling.scale(expression)
        if measured is not None:
            np.copyto(expression, self.fill, where=~measured)
        return expression
