"""Into which batch, or mixture of batches, every cell is decoded."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from discern.errors import DataError
from discern.keys import BATCH


@dataclass(frozen=True)
class Target:
    """What cells are projected to.

    Attributes:
        column: obs column; None decodes every cell into its own batch.
        value: Cells are decoded into the average batch of the cells with this value; None: see :func:`target_labels`.
    """

    column: str | None = None
    value: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read ``COLUMN:VALUE`` or ``COLUMN:``; a value may itself contain colons.

        Raises:
            DataError: There is no colon.
        """
        column, colon, value = text.partition(":")
        if not colon or not column:
            raise DataError(
                f"A projection target is COLUMN:VALUE, or COLUMN: for every value's own average; received '{text}'."
            )
        return cls(column, value or None)

    @property
    def file_name(self) -> str:
        """The published name of the projected file, safe for every file system."""
        if self.column is None:
            return "unprojected.h5ad"
        parts = [self.column] if self.value is None else [self.column, self.value]
        return (
            "projected_to_average_"
            + "_".join(quote(part, safe=" +,=@()[]-").replace(" ", "_") for part in parts)
            + ".h5ad"
        )


def check_target(obs: pd.DataFrame, target: Target) -> None:
    """Refuse a target that does not occur.

    Raises:
        DataError: The column is absent, the value does not occur, or cells have no value where each needs one.
    """
    if target.column is None:
        return
    if target.column not in obs:
        raise DataError(f"Column '{target.column}' is missing from obs. Found: {', '.join(map(str, obs.columns))}.")
    values = _as_text(obs[target.column])
    if target.value is None:
        missing = int(values.isna().sum())
        if missing and target.column != BATCH:
            raise DataError(
                f"{missing} of {len(values)} cells have no value in obs['{target.column}'], so there is no average to "
                f"project them to. Fill the column, leave these cells out, or name one value: {target.column}:VALUE."
            )
    elif not (values == target.value).any():
        known = sorted(values.dropna().unique())
        raise DataError(
            f"'{target.value}' does not occur in obs['{target.column}']. Found: {', '.join(known[:20])}"
            f"{', ...' if len(known) > 20 else ''}."
        )


def target_labels(obs: pd.DataFrame, own: np.ndarray, target: Target) -> np.ndarray:
    """Return the decoder's batch labels, float32 (n_cells, n_batches).

    * no column: every cell's own batch;
    * a value: the batch frequencies of the cells with that value, for every cell;
    * column ``batch`` without value: the batch frequencies of all cells;
    * another column without value: the batch frequencies of each cell's own group.

    Args:
        obs: Cell annotation, (n_cells, ...).
        own: One-hot labels of the cells' own batches, (n_cells, n_batches).
        target: What is asked for.

    Raises:
        DataError: See :func:`check_target`.
    """
    check_target(obs, target)
    if target.column is None:
        return own
    if target.column == BATCH and target.value is None:
        return np.broadcast_to(own.mean(axis=0), own.shape).astype(np.float32)
    values = _as_text(obs[target.column])
    if target.value is not None:
        return np.broadcast_to(own[(values == target.value).to_numpy()].mean(axis=0), own.shape).astype(np.float32)
    labels = np.empty_like(own)
    for group in values.unique():
        of_group = (values == group).to_numpy()
        labels[of_group] = own[of_group].mean(axis=0)
    return labels


def _as_text(column: pd.Series) -> pd.Series:
    """Return the values as text, missing ones kept; 1.0 in a float column of whole numbers is "1"."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("object").map(_text, na_action="ignore")


def _text(value: Any) -> str:
    return str(value)
