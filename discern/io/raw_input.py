"""One raw input, opened: its annotation is in memory, its counts are read when they are asked for."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from discern.io.row_readers import RowReader


@dataclass(frozen=True)
class RawInput:
    """What one input holds.

    Attributes:
        rows: Counts, (n_cells, n_genes).
        obs: Cell annotation, (n_cells, ...), indexed by cell names.
        var: Gene annotation, (n_genes, ...), indexed by gene names.
        proteins: Counts of antibody tags, (n_cells, n_proteins), indexed like ``obs``; None when not measured.
        path: Where it lies; None for data in memory.
    """

    rows: RowReader
    obs: pd.DataFrame
    var: pd.DataFrame
    proteins: pd.DataFrame | None = None
    path: Path | None = None
