"""``train``: fit one experiment from its records, taking up earlier training."""

import logging
from dataclasses import replace
from pathlib import Path

from discern.errors import ExperimentError
from discern.io.cell_sources import CellSource, MemorySource, RecordSource
from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.io.processed_annotation import ProcessedAnnotation, read_annotation
from discern.io.record_format import TRAINING, VALIDATION, genes_digest
from discern.keys import TRAIN, VALID
from discern.models.catalog import FAMILIES
from discern.models.contract import DataDescription, ModelFamily
from discern.training.checkpoints import Checkpoint, load_state, load_weights, read_description
from discern.training.config import TrainingConfig
from discern.training.devices import set_gpu_and_threads, wants_xla
from discern.training.fit import fit
from discern.training.interruption import StopOnSignal, signals_received
from discern.training.precision import computing_in
from discern.training.resuming import changed_settings, check_best_model, set_aside_job, whole_state
from discern.training.set_up import configured_callbacks, configured_optimizer, monitored_value
from discern.training.several_devices import on_gpus
from discern.workflows.experiment import Experiment
from discern.workflows.results import TrainResult
from discern.workflows.working_alone import working_alone

_LOGGER = logging.getLogger(__name__)


@working_alone("train")
def train(
    experiment: Experiment, *, gpus: list[int] | None = None, tfrecords: Path | None = None, restart: bool = False
) -> TrainResult:
    """Train one experiment until ``max_steps`` or early stopping.

    SIGTERM and Ctrl-C end the training with its state on disk; the next call goes on with the same bits.

    All GPUs that are named train this one model; the numbers are those of one GPU with the same minibatch, up to
    rounding. Where several experiments run side by side, each is given one GPU.

    Args:
        experiment: A processed experiment.
        gpus: GPUs to use in place of the configured ones.
        tfrecords: Folder of training records in place of the experiment's own.
        restart: Begin anew; the earlier job is kept in ``backup/1``, ``backup/2``, ...

    Raises:
        ExperimentError: The experiment was not processed, its job belongs to another model or is damaged, or another
            process works on it.
        TrainingInterruptedError: A signal came.
        ParametersError: The optimizer cannot be used on several GPUs.
        DivergenceError: A term of the loss is not finite.
    """
    config, folder = experiment.config.training, experiment.folder
    gpus = config.GPU if gpus is None else gpus
    set_gpu_and_threads(config.parallel_pc, gpus, config.deterministic)
    annotation = read_annotation(folder.processed_file)
    train_cells, valid_cells = _sources(folder, tfrecords or folder.tfrecords, annotation)
    description = DataDescription(
        annotation.n_genes,
        tuple(annotation.batches),
        train_cells.n_cells,
        annotation.transform,
        genes_sha256=genes_digest(annotation.genes),
    )
    model_config = experiment.config.model
    with on_gpus(gpus, config, train_cells.n_cells), computing_in(config.precision):
        family: ModelFamily = FAMILIES.get(model_config.name)(model_config, description, config.seed)
        family.compile(configured_optimizer(config), wants_xla(config.XLA))
    if restart:
        set_aside_job(folder)
    resumed = _take_up(folder, family)
    if _has_stopped(resumed, config) or resumed.epoch >= config.max_steps:
        _LOGGER.info(
            "%s is trained: %d epochs. Nothing to do. To go on, raise training.%s.",
            experiment.name,
            resumed.epoch,
            "max_steps" if resumed.epoch >= config.max_steps else "early_stopping.patience",
        )
        return TrainResult(resumed.epoch, resumed.monitored, finished=True)
    if resumed.epoch:
        _LOGGER.info("Going on after epoch %d", resumed.epoch)
    _warn_of_changes(resumed, config)
    resumed = replace(resumed, training=config.model_dump(mode="json"))
    callbacks = configured_callbacks(config, folder, family, resumed)
    with signals_received() as received:
        history = fit(
            family,
            train_cells,
            valid_cells,
            batch_size=config.batch_size,
            seed=config.seed,
            epochs=range(resumed.epoch, config.max_steps),
            callbacks=[*callbacks, StopOnSignal(received, callbacks)],
        )
    best = read_description(folder.best_model)[3] if folder.best_model.is_file() else resumed
    epochs = resumed.epoch + len(history.epoch)
    _LOGGER.info("%s: %d epochs, best %s in epoch %d", experiment.name, epochs, monitored_value(config), best.epoch)
    return TrainResult(epochs, best.monitored, finished=False)


def _sources(folder: ExperimentFolder, records: Path, annotation: ProcessedAnnotation) -> tuple[CellSource, CellSource]:
    """Return the cells to train and to validate on: from records, or from memory when there are none."""
    if not records.exists():
        _LOGGER.info("No training records in %s; training from memory.", records)
        data = DISCERNData.from_folder(folder.path, batch_size=1)
        sources = [MemorySource(data, data.batches, data.cells_of(split)) for split in (TRAIN, VALID)]
        return sources[0], sources[1]
    train_cells, valid_cells = (RecordSource(records, split) for split in (TRAINING, VALIDATION))
    train_cells.schema.check(annotation.genes, annotation.batches, annotation.cells_sha256)
    for split, source in ((TRAINING, train_cells), (VALIDATION, valid_cells)):
        if source.n_cells == 0:
            raise ExperimentError(f"{records} holds no {split} cells. Run `discern process --force`.")
    return train_cells, valid_cells


def _has_stopped(resumed: Checkpoint, config: TrainingConfig) -> bool:
    """Tell whether early stopping ended the training, and would again: more patience lets it go on."""
    limits, state = config.early_stopping, resumed.early_stopping
    return limits is not None and bool(state.get("stopped")) and state.get("wait", 0) >= limits.patience


def _take_up(folder: ExperimentFolder, family: ModelFamily) -> Checkpoint:
    state = whole_state(folder)
    if state is None:
        return Checkpoint()
    name, config, data, checkpoint = read_description(state)
    if name != family.name or config != family.config:
        raise ExperimentError(
            f"{state} belongs to another model than the parameters describe. Restore the parameters it was trained "
            f"with, or start anew with `discern train --restart`, which keeps {folder.job} in {folder.backup}."
        )
    if not data.same_data(family.data):
        raise ExperimentError(
            f"{state} was trained on other data than {folder.processed_file} holds now. Process the data again as they "
            f"were, or start anew with `discern train --restart`, which keeps {folder.job} in {folder.backup}."
        )
    check_best_model(folder)
    load_weights(state, family.model)
    load_state(state, family.model)
    return checkpoint


def _warn_of_changes(resumed: Checkpoint, config: TrainingConfig) -> None:
    changes = changed_settings(resumed.training, config.model_dump(mode="json"))
    if changes:
        _LOGGER.warning(
            "Training goes on with other settings than before: %s. The result is that of neither alone; "
            "--restart trains anew.",
            "; ".join(changes),
        )
