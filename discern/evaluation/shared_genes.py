"""Which genes can be compared: those that the data sets of all cells measured; a zero of any other says nothing."""

import numpy as np

from discern.errors import DataError
from discern.io.processed_cells import ProcessedCells
from discern.keys import DATASET

_NAMED = 5


def shared_genes(cells: ProcessedCells, positions: np.ndarray) -> np.ndarray:
    """Return which genes were measured in all of some cells, bool (n_genes,).

    Args:
        cells: Processed cells.
        positions: The cells that are compared, (n_compared,).

    Raises:
        DataError: There is no such gene.
    """
    panels = cells.panels
    if panels is None:
        return np.ones(cells.n_vars, dtype=bool)
    shared = panels.panels[np.unique(panels.codes[positions])].all(axis=0)
    if not shared.any():
        raise DataError(
            f"No gene was measured in all data sets of these cells: {_lacking(cells, positions)}. Evaluate an experiment "
            "without one of them; `discern onlinetraining --undo` takes back what was added last."
        )
    return shared


def left_out(cells: ProcessedCells, positions: np.ndarray, shared: np.ndarray) -> str | None:
    """Tell of the genes that are not shared; None when all are.

    Args:
        cells: Processed cells.
        positions: The cells that are compared, (n_compared,).
        shared: From :func:`shared_genes`.
    """
    if shared.all():
        return None
    return (
        f"{int((~shared).sum())} of {cells.n_vars} genes are left out, as not all data sets measured them: "
        f"{_lacking(cells, positions)}."
    )


def _lacking(cells: ProcessedCells, positions: np.ndarray) -> str:
    """Name data sets of these cells and how many genes each lacks."""
    present = set(cells.obs[DATASET].astype(str).to_numpy()[positions])
    lacks = {} if cells.measured is None else (~cells.measured).sum().to_dict()
    named = [f"{name} lacks {n}" for name, n in lacks.items() if n and str(name) in present]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return ", ".join(named[:_NAMED]) + more
