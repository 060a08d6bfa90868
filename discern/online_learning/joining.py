"""Old and new cells as one, on disk: only annotation is in memory."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from discern.errors import DataError, ParametersError
from discern.io.cell_store import CellStore, store_inputs
from discern.io.data import DISCERNData
from discern.io.processed_config import library_size_normalisation
from discern.io.processed_counts import open_processed_counts
from discern.io.processed_writer import write_processed
from discern.io.raw_input import RawInput
from discern.io.record_schema import RecordSchema
from discern.io.stored_records import write_stored_records
from discern.keys import BATCH, SPLIT, TRAIN, VALID
from discern.online_learning.joined_annotation import joined_annotation
from discern.online_learning.query_recipe import OnlineWAERecipe
from discern.preprocessing.cells import OnDisk, log_expression
from discern.preprocessing.splitting import draw_per_group


@dataclass(frozen=True)
class JoinedCells:
    """Old cells followed by new ones.

    Attributes:
        annotation: All of them, without matrices.
        store: Their raw counts.
        n_old: Number of old cells.
        place: Where the counts are.
    """

    annotation: DISCERNData
    store: CellStore
    n_old: int
    place: OnDisk

    @property
    def is_new(self) -> np.ndarray:
        """Which cells are new, bool (n_cells,)."""
        return np.arange(self.annotation.n_obs) >= self.n_old

    def write_h5ad(self, path: Path) -> None:
        """Write the processed data, as ``process`` does."""
        target = library_size_normalisation(self.annotation.config)
        write_processed(self.annotation, self.store, log_expression(target), path)

    def write_records(self, folder: Path) -> RecordSchema:
        """Write training records, as ``process`` does."""
        scratch = self.place.folder / "records"
        return write_stored_records(self.annotation, self.store, folder, scratch, self.place.workers)

    def for_round(self, replay: float = 0.0, seed: int = 0) -> "JoinedCells":
        """Return the same cells, of which only those of one round of training have a part in the split.

        These are the new ones, and a share of the old training and validation cells of each batch. The others have no
        value in ``obs["split"]``, so no record is written of them.

        Args:
            replay: The share of old cells; of every batch at least one cell unless it is 0.
            seed: Drives which are drawn.

        Raises:
            ParametersError: ``replay`` is no share.
        """
        chosen = self.is_new | replayed_cells(self.annotation.obs, ~self.is_new, replay, seed)
        obs = self.annotation.obs.copy()
        obs[SPLIT] = obs[SPLIT].astype("category").where(chosen)
        whole = self.annotation
        annotation = AnnData(obs=obs, var=whole.var, uns=dict(whole.uns), varm=dict(whole.varm))
        return replace(self, annotation=DISCERNData(annotation, whole.batch_size))


def replayed_cells(obs: pd.DataFrame, old: np.ndarray, replay: float, seed: int = 0) -> np.ndarray:
    """Draw old cells that are trained and validated on again, bool (n_cells,).

    Args:
        obs: Annotation of all cells, with batch and split.
        old: Which cells are old, (n_cells,).
        replay: The share of each batch's training and validation cells; at least one each unless it is 0.
        seed: Drives which are drawn.

    Raises:
        ParametersError: ``replay`` is no share.
    """
    if not 0 <= replay <= 1:
        raise ParametersError(f"replay {replay:g} is no share of the old cells: give a number from 0 to 1.")
    rng = np.random.default_rng(seed)
    batch = obs[BATCH].cat.codes.to_numpy(dtype=np.int64)
    drawn = np.zeros(len(obs), dtype=bool)
    for role in (TRAIN, VALID):
        eligible = old & (obs[SPLIT] == role).to_numpy()
        sizes = np.bincount(batch[eligible], minlength=len(obs[BATCH].cat.categories))
        wanted = [math.ceil(round(replay * int(size), 6)) for size in sizes]
        drawn |= draw_per_group(rng, batch, np.array(wanted, dtype=np.int64), eligible)
    return drawn


def join_on_disk(reference_file: Path, recipe: OnlineWAERecipe, place: OnDisk) -> JoinedCells:
    """Copy the counts of a processed file, a few cells at a time, and put the cells of a recipe behind them.

    Args:
        reference_file: The processed h5ad that the recipe's reference was read from; it stays as it is.
        recipe: New cells, all steps done.
        place: Where counts are kept; it may be that of the recipe.

    Raises:
        ShapeError: The genes differ.
        DataError: The file is damaged, lacks counts, or is not the recipe's reference.
    """
    old, new = recipe.reference, recipe.sc_raw
    annotation = joined_annotation(old, new, recipe.cells_per_gene)
    pieces = recipe.stored(place).pieces
    if old.n_obs:
        pieces = _stored_counts(Path(reference_file), old, place).pieces + pieces
    return JoinedCells(annotation, CellStore(annotation.n_vars, pieces), old.n_obs, place)


def _stored_counts(path: Path, reference: AnnData, place: OnDisk) -> CellStore:
    rows = open_processed_counts(path)
    if rows.shape != reference.shape:
        raise DataError(
            f"{path} holds {rows.shape[0]} cells x {rows.shape[1]} genes, the recipe's reference {reference.n_obs} x "
            f"{reference.n_vars}. Read the reference from this file."
        )
    raw = RawInput(rows, reference.obs, reference.var, path=path)
    folder = place.folder / "known"
    return store_inputs([raw], [np.arange(rows.shape[1])], folder, place.workers, name="known").store
