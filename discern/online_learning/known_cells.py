"""What of new cells is known already: batches of the same name, and the very same cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from discern import keys
from discern.errors import DataError
from discern.io.naming import original_names

MOST_KNOWN_CELLS = 0.1
_EXAMPLES = 3


@dataclass(frozen=True)
class KnownBatch:
    """A batch of new cells whose name belongs to a batch already.

    Attributes:
        name: Its name.
        data_sets: The data sets that its old cells are from.
        n_cells: Its old cells.
        library_size: Their median total count; NaN without cells.
        n_new_cells: Its new cells.
        new_library_size: Their median total count.
    """

    name: str
    data_sets: tuple[str, ...]
    n_cells: int
    library_size: float
    n_new_cells: int
    new_library_size: float

    def __str__(self) -> str:
        """Return what tells whether it is the same batch."""
        new = f"its {self.n_new_cells:,} new cells have a median library size of {self.new_library_size:,.0f}"
        if not self.n_cells:
            return f"Batch {self.name} is known, but its cells are not in these data; {new}"
        return (
            f"Batch {self.name} is known from {', '.join(self.data_sets) or 'the old data'}: {self.n_cells:,} cells with a "
            f"median library size of {self.library_size:,.0f}; {new}"
        )


def known_batches(reference: pd.DataFrame, query: pd.DataFrame) -> list[KnownBatch]:
    """Return the batches of the query that the reference has too, in the order of the reference.

    Args:
        reference: Annotation of the old cells; its batches are categorical, and may be without cells.
        query: Annotation of the new cells.
    """
    labels, new_labels = reference[keys.BATCH].astype(str), query[keys.BATCH].astype(str)
    present = set(new_labels)
    return [
        _known_batch(str(name), reference[labels == str(name)], query[new_labels == str(name)])
        for name in reference[keys.BATCH].cat.categories
        if str(name) in present
    ]


def cells_again(reference: pd.DataFrame, query: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return which new cells have name, batch and total count of an old one, bool (n_cells,).

    Args:
        reference: Annotation of the old cells; names that stand more than once got a suffix when they were joined.
        query: Annotation of the new cells.
        names: Their names as they were given, (n_cells,).
    """
    if keys.N_COUNTS not in reference or not len(reference):
        return np.zeros(len(query), dtype=bool)
    old_names = reference.index.append(original_names(reference.index))
    wanted = np.flatnonzero(old_names.isin(pd.Index(names)))
    candidates = reference.iloc[wanted % len(reference)]
    old = _identities(old_names[wanted], candidates)
    return np.asarray(_identities(pd.Index(names), query).isin(old))


def refuse_cells_again(again: np.ndarray, names: Sequence[str]) -> None:
    """Refuse new cells of which many are there already.

    Args:
        again: Which of them are, (n_cells,).
        names: Names of all new cells, (n_cells,).

    Raises:
        DataError: At least a tenth of them are.
    """
    if again.sum() and again.mean() >= MOST_KNOWN_CELLS:
        raise DataError(
            f"{describe_cells_again(again, names)} These cells are already part of the experiment: leave them out. "
            "If they are others, rename their batch."
        )


def describe_cells_again(again: np.ndarray, names: Sequence[str]) -> str:
    """Return how many new cells are there already, with examples."""
    examples = [str(name) for name in np.asarray(names, dtype=object)[again][:_EXAMPLES]]
    more = ", …" if again.sum() > _EXAMPLES else ""
    return (
        f"{again.sum():,} of {len(again):,} new cells have name, batch and library size of a cell that is there already: "
        f"{', '.join(examples)}{more}."
    )


def _known_batch(name: str, old: pd.DataFrame, new: pd.DataFrame) -> KnownBatch:
    data_sets = tuple(old[keys.DATASET].dropna().astype(str).unique()) if keys.DATASET in old else ()
    return KnownBatch(name, data_sets, len(old), _library_size(old), len(new), _library_size(new))


def _library_size(obs: pd.DataFrame) -> float:
    return float(obs[keys.N_COUNTS].median()) if keys.N_COUNTS in obs else float("nan")


def _identities(names: pd.Index, obs: pd.DataFrame) -> pd.MultiIndex:
    labels = obs[keys.BATCH].astype(str).to_numpy(dtype=object)
    return pd.MultiIndex.from_arrays([names, labels, obs[keys.N_COUNTS].to_numpy(dtype=np.float64)])
