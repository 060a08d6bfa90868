"""Estimates that other tools made of the same cells, from h5ad files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem

from discern.errors import DataError
from discern.evaluation.methods import ALL
from discern.io.matrix_rows import SelectedColumns, rows_at, rows_of

_LARGEST_LOG = 25.0


def check_names(others: "Sequence[OtherEstimate]") -> None:
    """Refuse names that another column of the table has.

    Raises:
        DataError: A name is given twice, or is that of a method of ours.
    """
    taken = {method.name for method in ALL}
    for other in others:
        if other.name in taken:
            raise DataError(f"'{other.name}' is the name of another column. Give {other.path} another name.")
        taken.add(other.name)


@dataclass(frozen=True)
class OtherEstimate:
    """A file to compare with.

    Attributes:
        name: Column of the table.
        path: An h5ad whose X holds log1p of library-size-normalised expression, normalised as here.
    """

    name: str
    path: Path

    @classmethod
    def parse(cls, text: str) -> "OtherEstimate":
        """Read ``NAME=H5AD``.

        Raises:
            DataError: There is no name or no file.
        """
        name, equals, path = text.partition("=")
        if not (name.strip() and equals and path):
            raise DataError(f"An estimate to compare with is NAME=H5AD, received '{text}'.")
        return cls(name.strip(), Path(path))

    def genes(self) -> pd.Index:
        """Return the names of its genes.

        Raises:
            DataError: The file cannot be read.
        """
        return self._index("var")

    def holds(self, cells: pd.Index) -> bool:
        """Tell whether it has estimates of all these cells.

        Raises:
            DataError: The file cannot be read.
        """
        return bool(cells.isin(self._index("obs")).all())

    def read(self, cells: pd.Index, genes: Sequence[str]) -> np.ndarray:
        """Return the estimates of these cells and genes, matched by name, float32 (n_cells, n_genes).

        Raises:
            DataError: The file cannot be read, lacks cells, or does not hold log expression.
        """
        rows, columns = self._index("obs").get_indexer(cells), self._index("var").get_indexer(list(genes))
        if (rows < 0).any():
            missing = cells[rows < 0]
            raise DataError(
                f"{self.path} lacks {len(missing)} of the {len(cells)} cells that are compared (e.g. {missing[0]}). "
                "Give estimates of all cells of the processed data, under the same names."
            )
        try:
            with h5py.File(self.path, "r") as file:
                found = rows_at(SelectedColumns(rows_of(file["X"]), columns), rows).toarray()
        except (OSError, KeyError) as error:
            raise DataError(f"{self.path} cannot be read: {error}. Give an h5ad file with X.") from error
        self._check(found)
        return found.astype(np.float32, copy=False)

    def _index(self, table: str) -> pd.Index:
        try:
            with h5py.File(self.path, "r") as file:
                index = read_elem(file[table]).index.astype(str)
        except Exception as error:  # of any class: anndata has some of its own
            raise DataError(f"{self.path} cannot be read as h5ad: {error}") from error
        if not index.is_unique:
            raise DataError(f"{self.path} names {'cells' if table == 'obs' else 'genes'} twice. Make them unique.")
        return index

    def _check(self, expression: np.ndarray) -> None:
        if not np.isfinite(expression).all():
            raise DataError(f"X of {self.path} holds values that are not finite.")
        if expression.size and expression.max() > _LARGEST_LOG:
            raise DataError(
                f"X of {self.path} holds values up to {expression.max():.4g}; log expression does not. "
                "Write log1p of library-size-normalised counts to X."
            )
