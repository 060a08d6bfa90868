"""UMAP pictures of the latent space while training."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from discern.io.cell_sources import MemorySource
from discern.io.data import DISCERNData
from discern.io.minibatches import minibatches
from discern.keys import BATCH, CELLTYPE
from discern.umap_pictures import draw_umap, umap_coordinates


class VisualisationCallback(keras.callbacks.Callback):
    """Draw the latent codes of ``data`` every ``freq`` epochs and at the end.

    Args:
        outdir: Folder of the pictures.
        data: Processed cells to draw.
        batch_size: Cells per minibatch.
        freq: Epochs between pictures.
    """

    def __init__(self, outdir: Path, data: DISCERNData, batch_size: int, freq: int = 10):
        super().__init__()
        self._outdir = Path(outdir)
        self._data = data
        self._batch_size = batch_size
        self._freq = freq
        self._epoch = -1
        self._drawn = -1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Draw when it is time."""
        self._epoch = epoch
        if (epoch + 1) % self._freq == 0:
            self._draw()

    def on_train_end(self, logs: Any = None) -> None:
        """Draw the last state."""
        if self._epoch >= 0 and self._drawn != self._epoch:
            self._draw()

    def _draw(self) -> None:
        encoder = self.model.get_layer("encoder")
        source = MemorySource(self._data, self._data.batches)
        cells = minibatches(source, self._data.transform, self._batch_size)
        latent = np.concatenate([encoder([cell["expression"], cell["batch"]], training=False)[0] for cell in cells])
        coordinates = umap_coordinates(latent)
        columns = [column for column in (BATCH, CELLTYPE) if column in self._data.obs]
        panels = [(f"latent space by {column}", coordinates, self._data.obs[column]) for column in columns]
        draw_umap(self._outdir / f"epoch_{self._epoch + 1:04d}.png", panels)
        self._drawn = self._epoch
