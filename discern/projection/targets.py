"""Into which batch, or mixture of batches, every cell is decoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from discern.errors import DataError
from discern.io.text_labels import as_text
from discern.keys import BATCH
from discern.projection.batch_labels import BatchLabels

_LONGEST_NAME = 200  # file systems take 255 bytes, of which temporary names need some


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

    @classmethod
    def of(cls, column: str | None, value: Any) -> "Target":
        """Return the target of a column and a value of any type; None and "" are no value, 0 and False are one."""
        return cls(column, None if value is None or value == "" else as_text(value))

    @property
    def file_name(self) -> str:
        """The published name of the projected file, safe for every file system; a long one ends in a digest instead.

        Targets can share it: see :func:`file_names`.
        """
        if self.column is None:
            return "unprojected.h5ad"
        parts = [self.column] if self.value is None else [self.column, self.value]
        quoted = (quote(part, safe=" +,=@()[]-", errors="surrogatepass").replace(" ", "_") for part in parts)
        name = "projected_to_average_" + "_".join(quoted)
        if len(name) > _LONGEST_NAME:
            name = f"{name[:_LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:16]}"
        return name + ".h5ad"

    @property
    def own_file_name(self) -> str:
        """The same with a digest of column and value, which no other target has."""
        digest = sha256(f"{self.column}\0{self.value}".encode(errors="surrogatepass")).hexdigest()[:8]
        return f"{self.file_name.removesuffix('.h5ad')}-{digest}.h5ad"

    @property
    def text(self) -> str:
        """What the published name tells: column and value, with underscores for spaces and between the two."""
        parts = [part for part in (self.column, self.value) if part is not None]
        return "_".join(parts).replace(" ", "_")


def file_names(targets: Sequence[Target], obs: pd.DataFrame, batches: Sequence[str] = ()) -> list[str]:
    """Return the file name of every target, the published one unless another target of these cells has it, too.

    Of targets that share a name, e.g. the batches ``a_b`` and ``a b``, one without spaces, then the one with the shortest
    column keeps it; the others end in a digest. So a name does not depend on what else is asked for.

    Args:
        targets: What is asked for; one that does not occur keeps its name.
        obs: Cell annotation.
        batches: Batches of the model.
    """
    return [
        target.file_name
        if all(_rank(target) <= _rank(other) for other in _of_same_name(target, obs, batches))
        else target.own_file_name
        for target in targets
    ]


def _rank(target: Target) -> tuple[bool, int, str, str]:
    column, value = target.column or "", target.value or ""
    return " " in column + value, len(column), column, value


def _of_same_name(target: Target, obs: pd.DataFrame, batches: Sequence[str]) -> Iterator[Target]:
    """Yield the targets of these cells that have the same published name."""
    if "_" not in target.text:
        return
    for column in [BATCH, *(name for name in obs if isinstance(name, str) and name != BATCH)]:
        whole = Target(column)
        if whole.text == target.text:
            yield whole
        elif target.text.startswith(whole.text + "_"):
            values = {as_text(value) for value in obs[column].dropna().unique()} if column in obs else set()
            found = (Target(column, value) for value in values | set(_of(whole, batches)))
            yield from (one for one in found if one.text == target.text)


def check_target(obs: pd.DataFrame, target: Target, batches: Sequence[str] = ()) -> None:
    """Refuse a target that does not occur.

    Args:
        obs: Cell annotation.
        target: What is asked for.
        batches: Batches of the model: each can be decoded into, whether or not there is a cell of it here.

    Raises:
        DataError: The column is absent, the value does not occur, or cells have no value where each needs one.
    """
    if target.column is None or _names_batch_of(target, batches):
        return
    if target.column not in obs:
        raise DataError(f"Column '{target.column}' is missing from obs. Found: {', '.join(map(str, obs.columns))}.")
    values = obs[target.column]
    if target.value is None:
        missing = int(values.isna().sum())
        if missing and target.column != BATCH:
            raise DataError(
                f"{missing} of {len(values)} cells have no value in obs['{target.column}'], so there is no average to "
                f"project them to. Fill the column, leave these cells out, or name one value: {target.column}:VALUE."
            )
    elif not _cells_with(values, target.value).any():
        known = sorted({as_text(value) for value in values.dropna().unique()} | set(_of(target, batches)))
        raise DataError(
            f"'{target.value}' does not occur in obs['{target.column}']. Found: {', '.join(known[:20])}"
            f"{', ...' if len(known) > 20 else ''}."
        )


def target_labels(obs: pd.DataFrame, own: BatchLabels, target: Target, batches: Sequence[str] = ()) -> BatchLabels:
    """Return the decoder's batch labels of every cell.

    * no column: every cell's own batch;
    * column ``batch`` and a batch of the model: that batch;
    * a value: the batch frequencies of the cells with that value, for every cell;
    * column ``batch`` without value: the batch frequencies of all cells;
    * another column without value: the batch frequencies of each cell's own group.

    Args:
        obs: Cell annotation, (n_cells, ...).
        own: Labels of the cells' own batches.
        target: What is asked for.
        batches: Batches of the model in the order of the label columns.

    Raises:
        DataError: See :func:`check_target`.
    """
    check_target(obs, target, batches)
    if target.column is None:
        return own
    if target.value is not None and _names_batch_of(target, batches):
        one_hot = np.arange(len(batches)) == list(batches).index(target.value)
        return BatchLabels.same_for_all(one_hot.astype(np.float32), len(own))
    if target.column == BATCH and target.value is None:
        return BatchLabels.same_for_all(own.mean(), len(own))
    column = obs[target.column]
    if target.value is not None:
        return BatchLabels.same_for_all(own.mean(_cells_with(column, target.value)), len(own))
    groups = _groups(column)
    return BatchLabels(own.means_of(groups), groups)


def _names_batch_of(target: Target, batches: Sequence[str]) -> bool:
    return target.value in _of(target, batches)


def _of(target: Target, batches: Sequence[str]) -> Sequence[str]:
    return batches if target.column == BATCH else ()


def _groups(column: pd.Series) -> np.ndarray:
    """Return which group every cell belongs to, int32 (n_cells,); values of the same text are one group."""
    codes, values = pd.factorize(column)
    of_value, _ = pd.factorize(np.array([as_text(value) for value in values], dtype=object))
    return of_value.astype(np.int32)[codes]


def _cells_with(column: pd.Series, value: str) -> np.ndarray:
    """Return which cells have a value, bool (n_cells,); "1" and "1.0" both name the number 1.0."""
    named = [one for one in column.dropna().unique() if value in (as_text(one), str(one))]
    return column.isin(named).to_numpy(dtype=bool)
