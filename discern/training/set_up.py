"""What a ``training`` section describes: the optimizer and the callbacks of one experiment."""

import keras

from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.io.processed_cells import open_own_cells
from discern.models.contract import ModelFamily
from discern.optimizers.build import build_optimizer
from discern.training.callbacks import create_callbacks
from discern.training.checkpoint_callback import SaveCheckpoints
from discern.training.checkpoints import Checkpoint
from discern.training.config import TrainingConfig
from discern.training.early_stopping import DelayedEarlyStopping
from discern.training.precision import optimizer_for
from discern.training.progress_line import ProgressLine

_UMAP_CELLS = 5000


def configured_optimizer(config: TrainingConfig) -> keras.Optimizer:
    """Return a new optimizer, with loss scaling where the precision needs it."""
    settings = config.optimizer
    optimizer = build_optimizer(
        settings.algorithm, settings.learning_rate, settings.arguments, settings.learning_decay, settings.Lookahead
    )
    return optimizer_for(config.precision, optimizer)


def monitored_value(config: TrainingConfig) -> str:
    """Return the column of the history that decides which weights are best."""
    return config.early_stopping.monitor if config.early_stopping else "val_loss"


def configured_callbacks(
    config: TrainingConfig, folder: ExperimentFolder, family: ModelFamily, resumed: Checkpoint | None = None
) -> list[keras.callbacks.Callback]:
    """Return early stopping, pictures and logs as configured, the checkpoints and the progress line.

    Args:
        config: The training section.
        folder: Where checkpoints, logs and pictures are written, and the cells of the pictures read.
        family: What is trained.
        resumed: Counters of the training that is taken up.
    """
    resumed = resumed or Checkpoint()
    limits = None if config.early_stopping is None else config.early_stopping.model_dump()
    shown = _cells_of_pictures(folder, config.batch_size) if config.umap_every else None
    callbacks = create_callbacks(
        limits, folder.path, shown, _UMAP_CELLS, freq_of_viz=config.umap_every or 1, tensorboard=config.tensorboard
    )
    stopping = next((one for one in callbacks if isinstance(one, DelayedEarlyStopping)), None)
    if stopping is not None:
        stopping.resume(resumed.early_stopping)
    larger_is_better = config.early_stopping is not None and config.early_stopping.mode == "max"
    checkpoints = SaveCheckpoints(folder, family, monitored_value(config), larger_is_better, stopping, resumed)
    return [*callbacks, checkpoints, ProgressLine(resumed.epoch, config.max_steps, stopping is not None)]


def _cells_of_pictures(folder: ExperimentFolder, batch_size: int) -> DISCERNData:
    """Return the few cells that pictures show; the others stay on disk."""
    with open_own_cells(folder, batch_size) as cells:
        return cells.sample(_UMAP_CELLS)
