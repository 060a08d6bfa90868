"""The callbacks of an ordinary training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from discern.errors import OptionalDependencyError
from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.keys import BATCH
from discern.training.early_stopping import DelayedEarlyStopping
from discern.training.umap_callback import VisualisationCallback


def create_callbacks(
    early_stopping_limits: Mapping[str, Any] | None,
    exp_folder: Path,
    inputdata: DISCERNData | None = None,
    umap_cells_no: int | None = None,
    profile_batch: int | tuple[int, int] = 2,
    freq_of_viz: int = 30,
    *,
    tensorboard: bool = False,
) -> list[keras.callbacks.Callback]:
    """Return early stopping and, only when asked for, UMAP pictures and TensorBoard logs.

    Args:
        early_stopping_limits: Arguments of :class:`DelayedEarlyStopping`; None for no early stopping.
        exp_folder: Folder of the experiment.
        inputdata: Cells for the UMAP pictures; none are drawn without it.
        umap_cells_no: How many of them are drawn at most; all when None.
        profile_batch: Minibatches TensorBoard profiles.
        freq_of_viz: Epochs between pictures.
        tensorboard: Write TensorBoard logs.
    """
    folder = ExperimentFolder(Path(exp_folder))
    callbacks: list[keras.callbacks.Callback] = []
    if early_stopping_limits is not None:
        callbacks.append(DelayedEarlyStopping(**early_stopping_limits))
    if tensorboard:
        callbacks.append(_tensorboard(folder.tensorboard, profile_batch))
    if inputdata is not None:
        cells = np.arange(inputdata.n_obs)
        if umap_cells_no is not None and umap_cells_no < len(cells):
            cells = np.sort(np.random.default_rng(0).choice(cells, umap_cells_no, replace=False))
        shown = DISCERNData(inputdata[cells].copy(), inputdata.batch_size)
        # a batch without a chosen cell keeps its label column
        shown.obs[BATCH] = shown.obs[BATCH].cat.set_categories(inputdata.batches)
        callbacks.append(VisualisationCallback(folder.umap_pictures, shown, inputdata.batch_size, freq_of_viz))
    return callbacks


def _tensorboard(folder: Path, profile_batch: int | tuple[int, int]) -> keras.callbacks.Callback:
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise OptionalDependencyError(
            "training.tensorboard needs the package tensorboard: pip install 'discern-reconstruction[tensorboard]'."
        ) from error
    return keras.callbacks.TensorBoard(str(folder), profile_batch=profile_batch)
