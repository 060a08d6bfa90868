"""One training that is prepared once and goes on, any number of times, from the state on disk."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras

from discern.config_section import ConfigSection
from discern.errors import ExperimentError
from discern.io.cell_sources import CellSource, RecordSource
from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.io.processed_annotation import ProcessedAnnotation, read_annotation
from discern.io.processed_cells import open_own_cells
from discern.io.record_schema import TRAINING, VALIDATION, genes_digest
from discern.models.catalog import DEFAULT_FAMILY, FAMILIES
from discern.models.contract import DataDescription, ModelFamily
from discern.training.checkpoint_callback import SaveCheckpoints
from discern.training.checkpoints import Checkpoint, load_state, load_weights, read_description
from discern.training.config import TrainingConfig
from discern.training.devices import set_gpu_and_threads, wants_xla
from discern.training.fit import fit
from discern.training.interruption import StopOnSignal
from discern.training.precision import computing_in
from discern.training.progress_line import ProgressLine
from discern.training.received_signals import ReceivedSignals
from discern.training.resuming import changed_settings, check_best_model, whole_state
from discern.training.set_up import configured_callbacks, configured_optimizer
from discern.training.several_devices import on_gpus

_LOGGER = logging.getLogger(__name__)


class ResumableTraining:
    """A compiled model, its cells, and how far it is trained.

    Attributes:
        folder: Whose ``job`` holds checkpoints and history.
        config: The training section.
        family: What is trained.
        state: Counters of the training so far.
    """

    def __init__(
        self,
        folder: ExperimentFolder,
        model: ConfigSection,
        config: TrainingConfig,
        *,
        data: ExperimentFolder | None = None,
        tfrecords: Path | None = None,
        gpus: Sequence[int] | None = None,
    ):
        """Open the cells and build the model; no earlier training is taken up yet.

        Args:
            folder: Where checkpoints and history are, or will be written.
            model: The model section.
            config: The training section.
            data: The experiment with the processed data; ``folder`` when None.
            tfrecords: Folder of training records in place of that experiment's own.
            gpus: GPUs to use in place of the configured ones.

        Raises:
            ExperimentError: There are no processed data, or records of other data.
            ParametersError: The optimizer cannot be used on several GPUs.
        """
        gpus = list(config.GPU if gpus is None else gpus)
        data = folder if data is None else data
        set_gpu_and_threads(config.parallel_pc, gpus, config.deterministic)
        annotation = read_annotation(data.processed_file)
        self.folder, self.config, self.state = folder, config, Checkpoint()
        self._processed_file = data.processed_file
        self._train_cells, self._valid_cells = _sources(data, tfrecords or data.tfrecords, annotation)
        description = DataDescription(
            annotation.n_genes,
            tuple(annotation.batches),
            self._train_cells.n_cells + annotation.n_train_cells_elsewhere,
            annotation.transform,
            genes_sha256=genes_digest(annotation.genes),
        )
        family_name = getattr(model, "name", DEFAULT_FAMILY)
        with on_gpus(gpus, config, self._train_cells.n_cells), computing_in(config.precision):
            self.family: ModelFamily = FAMILIES.get(family_name)(model, description, config.seed)
            self.family.compile(configured_optimizer(config), wants_xla(config.XLA))

    def take_up(self, same_model: bool = True) -> None:
        """Load the state on disk, if there is one.

        Args:
            same_model: Refuse the state of a model that was configured otherwise; else its weights only have to fit.

        Raises:
            ExperimentError: The state belongs to another model or other data, or is damaged.
            ShapeError: Weights or optimizer do not fit.
        """
        state = whole_state(self.folder)
        if state is None:
            self.state = Checkpoint()
            return
        name, config, data, checkpoint = read_description(state)
        folder, family = self.folder, self.family
        if name != family.name or (same_model and config != family.config):
            raise ExperimentError(
                f"{state} belongs to another model than the parameters describe. Restore the parameters it was trained "
                f"with, or start anew with `discern train --restart`, which keeps {folder.job} in {folder.backup}."
            )
        if not data.same_data(family.data):
            raise ExperimentError(
                f"{state} was trained on other data than {self._processed_file} holds now. Process the data again as "
                f"they were, or start anew with `discern train --restart`, which keeps {folder.job} in {folder.backup}."
            )
        check_best_model(folder)
        load_weights(state, family.model)
        load_state(state, family.model)
        self.state = checkpoint

    @property
    def has_stopped(self) -> bool:
        """Whether early stopping ended the training, and would again."""
        return has_stopped(self.state, self.config)

    def train_until(
        self, epoch: int, received: ReceivedSignals | None = None, show_progress: bool = True
    ) -> keras.callbacks.History:
        """Train to the end of an epoch, or to early stopping; the state is then on disk.

        Args:
            epoch: Epochs in all.
            received: Signals that end the training where it can be taken up; None: nothing listens.
            show_progress: Report every epoch.

        Raises:
            TrainingInterruptedError: A signal came.
            DivergenceError: A term of the loss is not finite.
        """
        self._warn_of_changes()
        resumed = replace(self.state, training=self.config.model_dump(mode="json"))
        callbacks = configured_callbacks(self.config, self.folder, self.family, resumed)
        callbacks = [one for one in callbacks if show_progress or not isinstance(one, ProgressLine)]
        checkpoints = next(one for one in callbacks if isinstance(one, SaveCheckpoints))
        history = fit(
            self.family,
            self._train_cells,
            self._valid_cells,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            epochs=range(resumed.epoch, epoch),
            callbacks=[*callbacks, *([] if received is None else [StopOnSignal(received, callbacks)])],
        )
        self.state = checkpoints.checkpoint
        return history

    def _warn_of_changes(self) -> None:
        changes = changed_settings(self.state.training, self.config.model_dump(mode="json"))
        if changes:
            _LOGGER.warning(
                "Training goes on with other settings than before: %s. The result is that of neither alone; "
                "--restart trains anew.",
                "; ".join(changes),
            )


def has_stopped(state: Checkpoint, config: TrainingConfig) -> bool:
    """Tell whether early stopping ended a training, and would again: more patience lets it go on."""
    limits, stopping = config.early_stopping, state.early_stopping
    return limits is not None and bool(stopping.get("stopped")) and stopping.get("wait", 0) >= limits.patience


def _sources(data: ExperimentFolder, records: Path, annotation: ProcessedAnnotation) -> tuple[CellSource, CellSource]:
    """Return the cells to train and to validate on: from records, or from memory when there are none."""
    if annotation.n_train_cells_elsewhere:
        _require_cells(data, annotation.n_train_cells_elsewhere)
    if not records.exists():
        _LOGGER.info("No training records in %s; training from memory.", records)
        cells = DISCERNData.from_folder(data.path, batch_size=1)
        return cells.sources(cells.batches)
    train_cells, valid_cells = (RecordSource(records, split) for split in (TRAINING, VALIDATION))
    train_cells.schema.check(annotation.genes, annotation.batches, annotation.cells_sha256)
    for split, source in ((TRAINING, train_cells), (VALIDATION, valid_cells)):
        if source.n_cells == 0:
            raise ExperimentError(f"{records} holds no {split} cells. Run `discern process --force`.")
    return train_cells, valid_cells


def _require_cells(data: ExperimentFolder, n_elsewhere: int) -> None:
    with open_own_cells(data, batch_size=1) as cells:
        if not cells.n_obs:
            raise ExperimentError(
                f"{data.path} was shared without its cells, so there is nothing to train on. Add cells with "
                "`discern onlinetraining`, or process and train on your own."
            )
        _LOGGER.warning(
            "Training on the %d cells that are here; %d of the reference are elsewhere and may be forgotten.",
            cells.n_obs,
            n_elsewhere,
        )
