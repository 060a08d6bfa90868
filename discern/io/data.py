"""Processed data: an AnnData that knows its preprocessing and feeds a network."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd

from discern.errors import DataError, DiscernError, ExperimentError
from discern.io.batch_labels import batch_names
from discern.io.checksums import damage_of_sealed
from discern.io.content_digest import minibatches_digest
from discern.io.experiment_folder import ExperimentFolder
from discern.io.processed_config import plain, storable
from discern.io.record_schema import TRAINING, VALIDATION
from discern.io.tfrecord_writer import record_orders
from discern.io.transform import InputTransform
from discern.keys import BATCH, DISCERN, SPLIT, TRAIN, VALID

if TYPE_CHECKING:
    from discern.io.cell_sources import MemorySource


class DISCERNData(anndata.AnnData):
    """An AnnData after preprocessing.

    ``X`` is log1p of library-size-normalised expression (CSR), ``layers["counts"]`` the raw counts.
    """

    def __init__(self, adata: anndata.AnnData, batch_size: int, cachefile: str | Path = ""):
        """Share the content of ``adata``; of a view it is copied.

        Args:
            adata: Processed data.
            batch_size: Cells per minibatch of :attr:`tfdata`.
            cachefile: First part of the names of the files in which :attr:`tfdata` keeps the dense validation minibatches
                between epochs; not kept when empty. A digest of what they are made of follows, so that several data sets
                can share it; the files of data that are no longer used may be removed.
        """
        if adata.is_view:
            adata = adata.to_memory() if adata.isbacked else adata.copy()
        super().__init__(adata)
        self.batch_size = batch_size
        self.cachefile = str(cachefile)

    @property
    def config(self) -> dict[str, Any]:
        """What preprocessing recorded; assign a dictionary to replace it."""
        return plain(self.uns.get(DISCERN, {}))

    @config.setter
    def config(self, value: dict[str, Any]) -> None:
        self.uns[DISCERN] = storable(value)

    @property
    def batches(self) -> list[str]:
        """Batch names in the order of the model's label columns."""
        return batch_names(self.obs)

    @property
    def transform(self) -> InputTransform:
        """From raw counts to the scaled expression a DISCERN network reads."""
        return InputTransform.scaled_log_expression(self.var, {**self.uns, DISCERN: self.config})

    @property
    def zeros(self) -> np.ndarray:
        """The value a zero count has after scaling, float32 (n_genes,)."""
        return self.transform.zeros(self.n_vars)

    def cells_of(self, split: str) -> np.ndarray:
        """Return the indices of the cells of one split.

        Raises:
            DataError: The data was never split or the split has no cell.
        """
        if SPLIT not in self.obs:
            raise DataError(f"Column '{SPLIT}' is missing from obs: split the data first (WAERecipe does).")
        cells = np.flatnonzero(self.obs[SPLIT] == split)
        if cells.size == 0:
            raise DataError(f"No cell has obs['{SPLIT}'] == '{split}'.")
        return cells

    def sources(self, batches: Sequence[str]) -> "tuple[MemorySource, MemorySource]":
        """Return the cells to train and to validate on, in the order that their records have.

        It mixes batches: a minibatch of one batch alone is far from the prior, and MMD++ of the validation cells would
        tell more of the order of the files than of the model.

        Args:
            batches: Batch names in the order of the model.

        Raises:
            DataError: The data was never split or a split has no cell.
        """
        from discern.io.cell_sources import MemorySource

        for split in (TRAIN, VALID):
            self.cells_of(split)  # raises where there are none
        orders = record_orders(self.obs)
        return MemorySource(self, batches, orders[TRAINING]), MemorySource(self, batches, orders[VALIDATION])

    @property
    def tfdata(self) -> tuple[Any, Any]:
        """Training minibatches, shuffled anew each time, and validation minibatches, as published (inputs, targets).

        Only those of validation are kept in the file of ``cachefile``: a file would freeze the order of the others.
        """
        from discern.io.minibatches import minibatches, reshuffled_minibatches
        from discern.io.published_cells import as_autoencoder_input

        train_cells, valid_cells = self.sources(self.batches)
        train = reshuffled_minibatches(train_cells, self.transform, self.batch_size, seed=0)
        valid = minibatches(valid_cells, self.transform, self.batch_size)
        if self.cachefile:
            cells = record_orders(self.obs)[VALIDATION]
            digest = minibatches_digest(self, cells, self.transform, self.batch_size)
            valid = valid.cache(f"{self.cachefile}.{VALID}.{digest[:32]}")
        return train.map(as_autoencoder_input), valid.map(as_autoencoder_input)

    @classmethod
    def read_h5ad(cls, filename: Path, batch_size: int, cachefile: str | Path = "") -> "DISCERNData":
        """Read processed data.

        Raises:
            DataError: The file is absent, unreadable, or was not written by preprocessing.
        """
        with reading_processed(Path(filename)):
            adata = anndata.read_h5ad(filename)
        data = cls(adata, batch_size, cachefile)
        require_preprocessed(Path(filename), data.obs, data.uns)
        data.config = plain(data.uns[DISCERN])
        data.obs[BATCH] = data.obs[BATCH].astype("category")
        return data

    @classmethod
    def from_folder(cls, folder: Path, batch_size: int, cachefile: str | Path = "") -> "DISCERNData":
        """Read the processed data of an experiment folder.

        Raises:
            ExperimentError: The folder holds no processed data.
        """
        path = ExperimentFolder(Path(folder)).processed_file
        if not path.is_file():
            raise ExperimentError(f"{path} does not exist. Run `discern process` first.")
        return cls.read_h5ad(path, batch_size, cachefile)


@contextmanager
def reading_processed(path: Path) -> Iterator[None]:
    """Name a processed file that is absent or cannot be read, whatever the block raises.

    Raises:
        DataError: It is, or cannot.
    """
    require_whole(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", anndata.OldFormatWarning)  # files of the published program
            yield
    except DiscernError:
        raise
    except Exception as error:  # of any class: anndata has some of its own
        raise DataError(f"{path} cannot be read as h5ad: {error}") from error


def require_whole(path: Path) -> None:
    """Refuse a processed file that is absent or is not what was written.

    Raises:
        DataError: It is.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    if damage := damage_of_sealed(path):
        raise DataError(f"{path} is damaged: {damage}. Restore it, or run `discern process --force`.")


def require_preprocessed(path: Path, obs: pd.DataFrame, uns: Mapping[str, Any]) -> None:
    """Refuse the content of a file that preprocessing did not write.

    Raises:
        DataError: What it records is missing.
    """
    if DISCERN not in uns or BATCH not in obs:
        raise DataError(
            f"{path} was not written by preprocessing: uns['{DISCERN}'] or obs['{BATCH}'] is missing. "
            "Run `discern process` on the raw data first."
        )
