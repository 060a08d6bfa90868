"""Where the cells of a recipe are: in memory, or on disk with only their annotation in memory.

Both apply a function to runs of neighbouring cells; the numbers of all cells follow from the results of the runs.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from anndata import AnnData
from scipy import sparse

from discern import keys
from discern.io.cell_store import CellStore, Piece
from discern.io.data import DISCERNData
from discern.io.processed_writer import write_processed
from discern.io.stored_records import write_stored_records
from discern.io.tfrecord_writer import write_records
from discern.io.writing import write_h5ad
from discern.preprocessing.library_size import library_sizes, normalise_library_size
from discern.preprocessing.row_chunks import chosen_rows, expm1, log1p, row_chunks
from discern.progress import progress
from discern.workers import Workers

Result = TypeVar("Result")
Chunks = Iterator[sparse.csr_matrix]


class Space(Enum):
    """What is read of a cell: raw counts, expression (normalised when configured), or log(1 + expression)."""

    COUNTS = "counts"
    EXPRESSION = "expression"
    LOG_EXPRESSION = "log expression"


@dataclass
class OnDisk:
    """Keep the counts in files instead of in memory.

    Attributes:
        folder: An empty folder for them; it may be removed when the recipe is no longer needed.
        workers: Who works on pieces of the data.
    """

    folder: Path
    workers: Workers


class RecipeCells(Protocol):
    """The cells of a recipe.

    Attributes:
        data: Annotation of cells and genes, and their matrices when these are in memory.
    """

    data: DISCERNData

    def runs(self, function: Callable[[Chunks], Result], space: Space, title: str) -> Iterable[Result]:
        """Return what ``function`` makes of the chunks, (any, n_genes) each, of every run of cells, in order."""
        ...

    def chosen(
        self, function: Callable[[Iterable[sparse.csr_matrix]], np.ndarray], cells: np.ndarray, space: Space
    ) -> np.ndarray:
        """Return what ``function`` makes of the chosen cells, row by row, in the given order."""
        ...

    def keep(self, cells: np.ndarray, genes: np.ndarray) -> None:
        """Keep the cells and genes of two masks, (n_cells,) and (n_genes,)."""
        ...

    def restore_counts(self) -> None:
        """Make X raw counts again."""
        ...

    def normalise(self, library_size: np.ndarray, target: float | None) -> None:
        """Make X expression: every cell, whose total counts are given, sums to ``target``."""
        ...

    def log1p(self) -> None:
        """Make X log(1 + expression)."""
        ...

    def write_h5ad(self, path: Path) -> None:
        """Write the processed data."""
        ...

    def write_records(self, folder: Path) -> None:
        """Write training records."""
        ...


class CellsInMemory:
    """All cells in one AnnData; X is what the steps made of it last."""

    def __init__(self, data: DISCERNData):
        """Take up raw data.

        Args:
            data: X holds raw counts.
        """
        self.data = data
        self._is_logged = False

    def runs(self, function: Callable[[Chunks], Result], space: Space, title: str) -> Iterable[Result]:
        """Return the one result of all cells."""
        return [function(iter(self._as(space, row_chunks(self._source(space)))))]

    def chosen(
        self, function: Callable[[Iterable[sparse.csr_matrix]], np.ndarray], cells: np.ndarray, space: Space
    ) -> np.ndarray:
        """Return what ``function`` makes of the chosen cells."""
        return function(self._as(space, chosen_rows(self._source(space), cells)))

    def _source(self, space: Space) -> sparse.csr_matrix:
        return self.data.layers.get(keys.COUNTS, self.data.X) if space is Space.COUNTS else self.data.X

    def _as(self, space: Space, chunks: Chunks) -> Iterable[sparse.csr_matrix]:
        if space is Space.COUNTS or (space is Space.LOG_EXPRESSION) == self._is_logged:
            return chunks
        return map(expm1 if self._is_logged else log1p, chunks)

    def keep(self, cells: np.ndarray, genes: np.ndarray) -> None:
        """Copy what is kept."""
        columns = slice(None) if genes.all() else genes
        self.data = DISCERNData(self.data[cells, columns].copy(), self.data.batch_size, self.data.cachefile)

    def restore_counts(self) -> None:
        """Make X raw counts again, so that a second normalisation starts from them."""
        self.data.X = self.data.layers.pop(keys.COUNTS, self.data.X)
        self._is_logged = False

    def normalise(self, library_size: np.ndarray, target: float | None) -> None:
        """Make X expression; the raw counts become ``layers["counts"]``."""
        counts = self.data.X
        expression = normalise_library_size(counts, library_size, target)
        # indices of its own: what sorts or thins out one of the two matrices in place must not reach the other
        self.data.X = sparse.csr_matrix(
            (expression.data, expression.indices.copy(), expression.indptr.copy()), shape=expression.shape
        )
        self.data.layers[keys.COUNTS] = counts

    def log1p(self) -> None:
        """Make X log(1 + expression); a second call does nothing."""
        if not self._is_logged:
            self.data.X = log1p(self.data.X)
            self._is_logged = True

    def write_h5ad(self, path: Path) -> None:
        """Write the data as they are."""
        write_h5ad(self.data, path)

    def write_records(self, folder: Path) -> None:
        """Write training records."""
        write_records(self.data, folder)


class CellsOnDisk:
    """Counts in pieces on disk; expression is computed from them whenever it is read."""

    def __init__(self, data: DISCERNData, store: CellStore, place: OnDisk):
        """Take up raw data.

        Args:
            data: Annotation only.
            store: The counts.
            place: Where further files may lie.
        """
        self.data = data
        self._store = store
        self._place = place
        self._target: float | None = None
        self._n_kept = 0

    @property
    def store(self) -> CellStore:
        """The counts."""
        return self._store

    def runs(self, function: Callable[[Chunks], Result], space: Space, title: str) -> Iterator[Result]:
        """Yield the result of every piece."""
        with progress(title, len(self._store.pieces)) as report:
            work = partial(_run, function, space, self._target)
            for done, result in enumerate(self._place.workers.map(work, self._store.pieces), start=1):
                yield result
                report(done)

    def chosen(
        self, function: Callable[[Iterable[sparse.csr_matrix]], np.ndarray], cells: np.ndarray, space: Space
    ) -> np.ndarray:
        """Return what ``function`` makes of the chosen cells, read piece by piece."""
        order = np.argsort(cells, kind="stable")
        starts = np.array(self._store.starts)
        ends = np.searchsorted(cells[order], starts[1:])
        parts = np.split(cells[order], ends[:-1])
        tasks = [
            (piece, part - start)
            for piece, part, start in zip(self._store.pieces, parts, starts, strict=False)
            if len(part)
        ]
        results = self._place.workers.map(partial(_chosen, function, space, self._target), tasks)
        return np.concatenate(list(results))[np.argsort(order, kind="stable")]

    def keep(self, cells: np.ndarray, genes: np.ndarray) -> None:
        """Write what is kept into new files and remove the old ones."""
        self._n_kept += 1
        kept = self._store.keep(cells, genes, self._place.folder / f"kept-{self._n_kept}", self._place.workers)
        for piece in self._store.pieces:
            piece.path.unlink()
        self._store = kept
        self.data = _kept(self.data, cells, genes)

    def restore_counts(self) -> None:
        """Do nothing: the files always hold raw counts."""

    def normalise(self, library_size: np.ndarray, target: float | None) -> None:
        """Remember the target; the total counts of a cell are counted again when it is read."""
        self._target = target

    def log1p(self) -> None:
        """Do nothing: the logarithm is taken when cells are read."""

    def write_h5ad(self, path: Path) -> None:
        """Write the annotation, X and the counts, piece by piece."""
        write_processed(self.data, self._store, log_expression(self._target), path)

    def write_records(self, folder: Path) -> None:
        """Write training records."""
        write_stored_records(self.data, self._store, folder, self._place.folder / "records", self._place.workers)


def log_expression(target: float | None) -> Callable[[sparse.csr_matrix], sparse.csr_matrix]:
    """Return what makes X of raw counts, (n_cells, n_genes), for cells normalised to the total ``target``."""
    return partial(_as, Space.LOG_EXPRESSION, target)


def _kept(data: DISCERNData, cells: np.ndarray, genes: np.ndarray) -> DISCERNData:
    """Return chosen cells and genes of annotation; a slice of an AnnData would hold most of it three times."""
    kept = AnnData(
        obs=data.obs[cells],
        var=data.var[genes],
        uns=dict(data.uns),
        obsm={key: values[cells] for key, values in data.obsm.items()},
        varm={key: values[genes] for key, values in data.varm.items()},
    )
    for column in kept.obs.select_dtypes("category"):
        kept.obs[column] = kept.obs[column].cat.remove_unused_categories()
    return DISCERNData(kept, data.batch_size, data.cachefile)


def _run(function: Callable[[Chunks], Result], space: Space, target: float | None, piece: Piece) -> Result:
    return function(_as(space, target, chunk) for chunk in row_chunks(piece.read()))


def _chosen(
    function: Callable[[Iterable[sparse.csr_matrix]], np.ndarray],
    space: Space,
    target: float | None,
    task: tuple[Piece, np.ndarray],
) -> np.ndarray:
    piece, cells = task
    return function(_as(space, target, chunk) for chunk in chosen_rows(piece.read(), cells))


def _as(space: Space, target: float | None, counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return cells in a space, (n_cells, n_genes), from their raw counts."""
    if space is Space.COUNTS:
        return counts
    expression = normalise_library_size(counts, library_sizes([counts]), target)
    return expression if space is Space.EXPRESSION else log1p(expression)
