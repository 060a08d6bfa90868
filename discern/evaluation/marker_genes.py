"""Marker genes of cell types, found in real target cells, before and after reconstruction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from discern.evaluation.type_moments import TypeMoments, type_moments, welch_t

N_TYPES = 8
N_GENES = 3
FEWEST_CELLS = 10
REAL, BEFORE, AFTER = "real target cells", "as measured", "reconstructed"


@dataclass(frozen=True)
class MarkerGenes:
    """Marker genes of the largest types.

    Attributes:
        table: One row per type and gene: ``type``, ``gene``, and for real target cells and for cells of other batches as
            measured and reconstructed, the mean log expression of the type less that of all other cells with a type.
        means: By the same three names: mean log expression of every type, (n_types, n_markers) with names.
    """

    table: pd.DataFrame
    means: dict[str, pd.DataFrame]


def marker_genes(
    measured: np.ndarray,
    reconstructed: np.ndarray,
    types: np.ndarray,
    names: Sequence[str],
    of_target: np.ndarray,
    genes: Sequence[str],
) -> MarkerGenes | None:
    """Find in real target cells, for each type, the three genes that set it apart most (Welch's t against all others).

    Args:
        measured: Log expression as measured, (n_cells, n_genes).
        reconstructed: As if in the target batch, same shape.
        types: Codes of types, int (n_cells,); below 0: none.
        names: Their names.
        of_target: Which cells are from the target batch, bool (n_cells,).
        genes: Names of the genes.

    Returns:
        None when fewer than two types have ten cells on both sides.
    """
    sizes = [np.bincount(types[side & (types >= 0)], minlength=len(names)) for side in (of_target, ~of_target)]
    enough = np.flatnonzero(np.minimum(*sizes) >= FEWEST_CELLS)
    if len(enough) < 2:
        return None
    largest = np.sort(enough[np.argsort(-sizes[0][enough], kind="stable")[:N_TYPES]])
    sides = {
        REAL: (measured[of_target], types[of_target]),
        BEFORE: (measured[~of_target], types[~of_target]),
        AFTER: (reconstructed[~of_target], types[~of_target]),
    }
    rows, columns = [], []
    for one in largest:
        differences = {name: _against_others(*side, one) for name, side in sides.items()}
        chosen = np.argsort(-np.nan_to_num(differences[REAL][1], nan=-np.inf), kind="stable")[:N_GENES]
        for gene in chosen[np.nan_to_num(differences[REAL][1][chosen], nan=-1.0) > 0]:
            changes = {name: float(change[gene]) for name, (change, _) in differences.items()}
            rows.append({"type": names[one], "gene": str(genes[gene]), **changes})
            columns.append(int(gene))
    columns = list(dict.fromkeys(columns))
    labels = [str(genes[gene]) for gene in columns]
    means = {}
    for name, (expression, its_types) in sides.items():
        moments = type_moments(expression[:, columns], its_types, len(names))
        means[name] = pd.DataFrame(moments.mean[largest], index=[names[one] for one in largest], columns=labels)
    return MarkerGenes(pd.DataFrame(rows, columns=["type", "gene", *sides]), means)


def _against_others(expression: np.ndarray, types: np.ndarray, one: int) -> tuple[np.ndarray, np.ndarray]:
    """Return difference of means and t of a type against all other cells with a type, (n_genes,) each."""
    groups = np.where(types < 0, -1, (types == one).astype(np.int64))
    moments: TypeMoments = type_moments(expression, groups, 2)
    change = moments.mean[1] - moments.mean[0]
    variances = (moments.variance[1], moments.variance[0])
    return change, welch_t(change, variances, (int(moments.n_cells[1]), int(moments.n_cells[0])))[0]
