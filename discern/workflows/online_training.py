"""``onlinetraining``: add the batches of a new file to a trained experiment and go on training."""

import copy
import logging
from pathlib import Path
from typing import Any

from discern.config.loading import read_json
from discern.errors import DataError, ExperimentError
from discern.io.cell_sources import MemorySource
from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.io.record_format import genes_digest
from discern.io.tfrecord_writer import write_records
from discern.io.whole_files import write_json
from discern.keys import TRAIN, VALID
from discern.models.catalog import FAMILIES
from discern.models.contract import DataDescription, ModelFamily
from discern.online_learning.query_recipe import OnlineWAERecipe
from discern.online_learning.saving import save_data
from discern.online_learning.staging import staged_experiment
from discern.online_learning.widening import update_model
from discern.training.checkpoints import Checkpoint, is_checkpoint, load_family, read_description, save_checkpoint
from discern.training.config import TrainingConfig
from discern.training.devices import set_gpu_and_threads, wants_xla
from discern.training.fit import fit
from discern.training.precision import computing_in
from discern.training.set_up import configured_callbacks, configured_optimizer
from discern.training.several_devices import on_gpus
from discern.workflows.experiment import Experiment, experiment_of_folder
from discern.workflows.project import trained_family
from discern.workflows.results import OnlineResult
from discern.workflows.working_alone import working_alone

_LOGGER = logging.getLogger(__name__)


def online_training(exp_folder: Path, filename: Path, freeze: bool) -> OnlineResult:
    """Add a file to the trained experiment of a folder; see :func:`train_online`."""
    return train_online(experiment_of_folder(Path(exp_folder)), Path(filename), freeze=freeze)


@working_alone("onlinetraining")
def train_online(
    experiment: Experiment, filename: Path, *, freeze: bool = False, gpus: list[int] | None = None
) -> OnlineResult:
    """Add the cells of a raw file to a trained experiment and train on them, up to ``max_steps`` epochs.

    Afterwards the experiment holds old and new cells and a model of all their batches: ``project`` uses it, ``train``
    goes on from it on all cells, from epoch 0 and with nothing frozen. ``backup`` holds ``job`` as it was. When
    anything fails the experiment is as it was.

    Args:
        experiment: A trained experiment.
        filename: Raw counts.
        freeze: Train only layers whose shape depends on the number of batches.
        gpus: GPUs to use in place of the configured ones; several train one model, see :mod:`discern.workflows.train`.

    Raises:
        ExperimentError: The experiment is not trained, or its model belongs to other data or parameters.
        DataError: The file cannot be used, or nothing would be trained.
        ParametersError: The optimizer cannot be used on several GPUs.
        DivergenceError: A term of the loss is not finite.
    """
    config, folder = experiment.config.training, experiment.folder
    gpus = config.GPU if gpus is None else gpus
    set_gpu_and_threads(config.parallel_pc, gpus, config.deterministic)
    reference = _reference(experiment)
    trained = trained_family(experiment)
    _require_same_model(experiment, trained, reference)
    query = OnlineWAERecipe(reference, experiment.config.input_ds, input_files=[filename])().sc_raw
    new_batches = [name for name in query.batches if name not in reference.batches]
    if freeze and not new_batches:
        raise DataError(
            f"All batches of {filename} are known to the model, so nothing is left to train with --freeze. "
            "Leave --freeze out, or rename the batches that are others."
        )
    with staged_experiment(folder) as staging:
        joined = save_data(staging.processed_file, query, reference)
        if folder.tfrecords.exists():
            write_records(joined, staging.tfrecords)
        write_json(staging.parameters_file, _parameters_with(experiment, Path(filename)))
        with on_gpus(gpus, config, len(query.cells_of(TRAIN))), computing_in(config.precision):
            family = _widened_family(experiment, trained, joined)
            update_model(trained.model, family.model, freeze_unchanged=freeze)
            family.compile(configured_optimizer(config), wants_xla(config.XLA))
        del joined, reference
        epochs = _train_on(query, family, config, staging)
        best = _ready_to_resume(staging, config)
    _LOGGER.info("%s: %d cells added, %d epochs trained on them", experiment.name, query.n_obs, epochs)
    return OnlineResult(query.n_obs, new_batches, epochs, best)


def _reference(experiment: Experiment) -> DISCERNData:
    folder = experiment.folder
    if not folder.best_model.is_file():
        raise ExperimentError(
            f"Cannot train online: {folder.path} has no trained model. Run `discern train {folder.parameters_file}` first."
        )
    return DISCERNData.from_folder(folder.path, experiment.config.training.batch_size)


def _require_same_model(experiment: Experiment, trained: ModelFamily, reference: DISCERNData) -> None:
    """Refuse a model that was trained on other data than the processed ones, or with other parameters."""
    path = experiment.folder.best_model
    if not trained.data.same_features(reference.n_vars, reference.batches, reference.transform):
        raise ExperimentError(
            f"{path} was trained on other data than {experiment.folder.processed_file} holds. "
            "Run `discern train` on the processed data first."
        )
    if is_checkpoint(path) and trained.config != experiment.config.model:
        raise ExperimentError(
            f"{path} belongs to another model than the parameters describe. Restore the parameters it was trained with."
        )


def _widened_family(experiment: Experiment, trained: ModelFamily, joined: DISCERNData) -> ModelFamily:
    description = DataDescription(
        n_genes=joined.n_vars,
        batches=tuple(joined.batches),
        n_train_cells=len(joined.cells_of(TRAIN)),
        transform=trained.data.transform,
        genes_sha256=genes_digest(joined.var_names),
    )
    model_config = experiment.config.model
    return FAMILIES.get(model_config.name)(model_config, description, experiment.config.training.seed)


def _train_on(query: DISCERNData, family: ModelFamily, config: TrainingConfig, folder: ExperimentFolder) -> int:
    """Train on new cells only, as published; return the number of epochs."""
    train_cells, valid_cells = (
        MemorySource(query, family.data.batches, query.cells_of(split)) for split in (TRAIN, VALID)
    )
    history = fit(
        family,
        train_cells,
        valid_cells,
        batch_size=config.batch_size,
        seed=config.seed,
        epochs=range(config.max_steps),
        callbacks=configured_callbacks(config, folder, family),
    )
    return len(history.epoch)


def _ready_to_resume(folder: ExperimentFolder, config: TrainingConfig) -> float | None:
    """Let ``train`` start from the best weights, nothing frozen, as for new data; return the best monitored value."""
    family = load_family(folder.best_model, config.seed)[0]
    family.compile(configured_optimizer(config), wants_xla(config.XLA))
    family.model.optimizer.build(family.model.trainable_variables)
    save_checkpoint(folder.last_state, family, Checkpoint(), with_state=True)
    folder.previous_state.unlink(missing_ok=True)  # it has seen epochs, of the new cells only
    return read_description(folder.best_model)[3].monitored


def _parameters_with(experiment: Experiment, filename: Path) -> dict[str, Any]:
    """Return the experiment's own parameters with the new file among the raw inputs and the seed that was used."""
    own = experiment.folder.parameters_file
    content = read_json(own) if own.is_file() else copy.deepcopy(experiment.content)
    section = content.setdefault("input_ds", {})
    raw_input, path = section.get("raw_input", []), str(filename.absolute())
    if filename.resolve() not in {Path(known).resolve() for known in raw_input}:
        section["raw_input"] = {**raw_input, path: None} if isinstance(raw_input, dict) else [*raw_input, path]
    seed = experiment.config.training.seed
    if content.get("training", {}).get("seed", 0) != seed:
        content.setdefault("training", {})["seed"] = seed
    return content
