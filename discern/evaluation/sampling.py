"""Which cells, genes and cell types an evaluation looks at, so that its memory and time are bounded."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from discern.errors import DataError
from discern.evaluation.against_reference import FEWEST_CELLS
from discern.evaluation.distribution import N_FOLDS

MOST_GENES = 4000
MOST_TYPES = 15
NOT_LABELLED = {"", "nan", "none", "na", "unknown", "unlabelled", "unlabeled", "unassigned"}


@dataclass(frozen=True)
class Sample:
    """Positions of the cells that are looked at, ascending.

    Attributes:
        others: Cells of other batches, which are estimated as if in the target batch.
        reference: Half of the target's cells: what estimates are compared with.
        learnt: The other half: what baselines learn from.
    """

    others: np.ndarray
    reference: np.ndarray
    learnt: np.ndarray


def choose_cells(batches: np.ndarray, target: str, n_cells: int, rng: np.random.Generator) -> Sample:
    """Choose random cells: at best half of them from the target batch, as many from all others together.

    Args:
        batches: Batch name of every cell, (n_cells,).
        target: The target batch.
        n_cells: How many to take at most.
        rng: Chooses.

    Raises:
        DataError: The target batch does not occur, or one side has too few cells.
    """
    of_target, others = np.flatnonzero(batches == target), np.flatnonzero(batches != target)
    if not len(of_target):
        known = ", ".join(sorted(set(batches))[:20])
        raise DataError(f"'{target}' is no batch of these cells. Found: {known}. Give one of these with --target.")
    n_target = min(len(of_target), max(n_cells // 2, n_cells - len(others)))
    n_others = min(len(others), n_cells - n_target)
    if n_target < 2 * N_FOLDS or n_others < N_FOLDS:
        raise DataError(
            f"An evaluation compares cells of the target batch '{target}' with cells of other batches, at least "
            f"{2 * N_FOLDS} and {N_FOLDS}; received {n_target} and {n_others}. Raise --cells, or give another --target. "
            "With one batch only, --thin FRACTION measures what is recovered."
        )
    chosen = rng.choice(of_target, n_target, replace=False)
    return Sample(
        np.sort(rng.choice(others, n_others, replace=False)),
        np.sort(chosen[: n_target // 2]),
        np.sort(chosen[n_target // 2 :]),
    )


def deepest_batch(batches: np.ndarray, library_size: np.ndarray) -> str:
    """Return the batch with the largest median library size.

    Args:
        batches: Batch name of every cell, (n_cells,).
        library_size: Total counts of every cell, (n_cells,).
    """
    medians = pd.Series(library_size).groupby(batches).median()
    return str(medians.idxmax())


def type_codes(labels: pd.Series, parts: list[np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """Return codes of the types that every part has enough cells of, at most the 15 largest, and their names.

    Args:
        labels: Label of every cell, (n_cells,); missing ones and names such as "unknown" are none.
        parts: Positions of the cells that are compared.

    Returns:
        Codes of all cells, int (n_cells,), −1 for cells without such a type; names by code.
    """
    text = labels.astype(object).where(labels.notna(), "").astype(str)
    text = text.where(~text.str.strip().str.lower().isin(NOT_LABELLED), "")
    counts = pd.DataFrame([text.iloc[part].value_counts() for part in parts]).fillna(0).min()
    counts = counts[(counts >= FEWEST_CELLS) & (counts.index != "")]
    names = sorted(counts.sort_values(ascending=False, kind="stable").index[:MOST_TYPES])
    codes = text.map({name: code for code, name in enumerate(names)}).fillna(-1)
    return codes.to_numpy(dtype=np.int64), names


def choose_genes(expression: sparse.csr_matrix, allowed: np.ndarray) -> np.ndarray:
    """Return the positions of the genes that vary most in the target batch, at most 4,000, ascending.

    Args:
        expression: Log expression of target cells, (n_cells, n_genes).
        allowed: Genes to choose from, bool (n_genes,).
    """
    mean = np.asarray(expression.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(expression.multiply(expression).mean(axis=0), dtype=np.float64).ravel()
    variance = np.where(allowed, square - mean**2, -1.0)
    chosen = np.argsort(-variance, kind="stable")[:MOST_GENES]
    return np.sort(chosen[allowed[chosen]])
