"""Genes that some data sets did not measure: a count of zero says nothing of them.

Processed data name them in ``varm["measured"]``, a table of genes by data sets. Data sets that measured all genes have
no column, data of which all did have no table, and nothing of what is here is then done.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from discern.errors import DataError
from discern.keys import DATASET, MEASURED


@dataclass(frozen=True)
class GenePanels:
    """Which genes were measured in which cells.

    Attributes:
        panels: Whether a gene was measured, bool (n_panels, n_genes); the first panel holds all genes.
        codes: Panel of every cell, int64 (n_cells,).
    """

    panels: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, obs: pd.DataFrame, table: Any, genes: pd.Index) -> "GenePanels | None":
        """Return the panels of processed cells; None when all genes were measured in all of them.

        Args:
            obs: Annotation of the cells; ``dataset`` names the data set of each.
            table: ``varm["measured"]``, bool; columns that name none of these data sets are left out. None when absent.
            genes: Names of the genes.

        Raises:
            DataError: The table does not fit the genes, holds something else than true and false, or the cells do not
                tell their data set.
        """
        if table is None:
            return None
        _require_table(table, genes)
        lacking = [name for name in table.columns if not table[name].all()]
        if not lacking:
            return None
        if DATASET not in obs:
            raise DataError(
                f"varm['{MEASURED}'] tells which data sets did not measure all genes, but obs has no column '{DATASET}'. "
                f"Found: {', '.join(map(str, obs.columns))}. Add the column, or remove the table."
            )
        dataset = obs[DATASET].astype(str).to_numpy()
        present = [name for name in lacking if (dataset == str(name)).any()]
        if not present:
            return None
        rows = [np.ones(len(genes), dtype=bool), *(table[name].to_numpy(dtype=bool) for name in present)]
        codes = pd.Index([str(name) for name in present]).get_indexer(dataset) + 1
        return cls(np.stack(rows), codes.astype(np.int64))

    def of_cells(self, cells: np.ndarray | slice) -> "GenePanels":
        """Return the same panels for some of the cells."""
        return replace(self, codes=self.codes[cells])

    def measured(self, cells: np.ndarray | slice) -> np.ndarray:
        """Return whether each gene was measured in each of these cells, bool (n_cells, n_genes)."""
        return self.panels[self.codes[cells]]

    @property
    def unmeasured(self) -> list[list[int]]:
        """The genes that each panel after the first lacks, ascending."""
        return [np.flatnonzero(~panel).tolist() for panel in self.panels[1:]]


def panels_without(unmeasured: Sequence[Sequence[int]], n_genes: int) -> np.ndarray | None:
    """Return the panels of :attr:`GenePanels.unmeasured`, bool (n_panels, n_genes); None when there is none.

    Raises:
        ValueError: A gene is not below ``n_genes``, or the genes of a panel do not ascend.
    """
    if not unmeasured:
        return None
    panels = np.ones((len(unmeasured) + 1, n_genes), dtype=bool)
    for panel, genes in zip(panels[1:], unmeasured, strict=True):
        numbers = [-1, *genes, n_genes]
        if any(type(gene) is not int for gene in genes) or any(np.diff(numbers) <= 0):
            raise ValueError(f"{genes!r} are no ascending numbers of {n_genes} genes")
        panel[list(genes)] = False
    return panels


def _require_table(table: Any, genes: pd.Index) -> None:
    where = f"varm['{MEASURED}']"
    remedy = "Run `discern process` or `discern onlinetraining` again, or remove it."
    if not isinstance(table, pd.DataFrame):
        raise DataError(f"{where} is no table of genes by data sets but {type(table).__name__}. {remedy}")
    if list(table.index) != list(genes):
        raise DataError(
            f"{where} has other genes than var, or in another order: {len(table)} against {len(genes)}. {remedy}"
        )
    wrong = [str(name) for name in table.columns if table[name].dtype != bool]
    if wrong:
        raise DataError(f"{where} holds something else than true and false in {', '.join(wrong)}. {remedy}")
