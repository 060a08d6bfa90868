"""``onlinetraining``: add the cells of new files to a trained experiment and train on them."""

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from discern.available_cpus import available_cpus
from discern.config.loading import read_json
from discern.config_section import validate_section
from discern.errors import DataError, ExperimentError, counted
from discern.io.cell_sources import CellSource, RecordSource
from discern.io.data import DISCERNData
from discern.io.processed_config import n_train_cells_elsewhere
from discern.io.record_schema import TRAINING, VALIDATION, genes_digest
from discern.io.whole_files import temporary_folder, write_json
from discern.keys import TRAIN
from discern.models.catalog import FAMILIES
from discern.models.contract import DataDescription, ModelFamily
from discern.online_learning.interruption import unwinding_on_sigterm
from discern.online_learning.joining import JoinedCells, join_on_disk
from discern.online_learning.query_recipe import OnlineWAERecipe
from discern.online_learning.reference import read_reference
from discern.online_learning.resuming import ready_to_resume
from discern.online_learning.staging import staged_experiment
from discern.online_learning.widening import widen
from discern.preprocessing.cells import OnDisk
from discern.training.checkpoints import is_checkpoint, read_description
from discern.training.config import OnlineTrainingConfig, TrainingConfig
from discern.training.devices import set_gpu_and_threads, wants_xla
from discern.training.doubts import tell_of_doubts
from discern.training.fit import fit
from discern.training.precision import computing_in
from discern.training.set_up import configured_callbacks, configured_optimizer
from discern.training.several_devices import on_gpus
from discern.workers import worker_processes
from discern.workflows.experiment import Experiment, experiment_of_folder
from discern.workflows.older_projections import tell_of_older_projections
from discern.workflows.project import trained_family
from discern.workflows.readiness import require_ready
from discern.workflows.results import OnlineResult
from discern.workflows.working_alone import working_alone

_LOGGER = logging.getLogger(__name__)

NewFiles = Path | Sequence[Path] | Mapping[Path, str | None]


def online_training(exp_folder: Path, filename: Path, freeze: bool) -> OnlineResult:
    """Add a file to the trained experiment of a folder; see :func:`train_online`."""
    return train_online(experiment_of_folder(Path(exp_folder)), Path(filename), freeze=freeze)


@working_alone("onlinetraining")
def train_online(
    experiment: Experiment,
    filename: NewFiles,
    *,
    freeze: bool = False,
    allow_non_counts: bool = False,
    gpus: list[int] | None = None,
    **online: Any,
) -> OnlineResult:
    """Add the cells of raw files to a trained experiment and train on them, up to ``max_steps`` epochs.

    Cells are read and written a few at a time. Afterwards the experiment holds old and new cells and a model of all
    their batches: ``project`` uses it, ``train`` goes on from it on all cells, from epoch 0 and with nothing frozen.
    ``backup/<n>`` holds the experiment as it was. When anything fails the experiment is as it was.

    Args:
        experiment: A trained experiment.
        filename: Raw counts: a file, several, or files with the obs column that names the batch.
        freeze: Train nothing but what new batches add: ``freeze_mode="new-batches"``.
        allow_non_counts: Accept fractional values with a warning.
        gpus: GPUs to use in place of the configured ones; several train one model, see :mod:`discern.workflows.train`.
        **online: Fields of :class:`~discern.training.config.OnlineTrainingConfig` in place of the configured ones; None
            leaves a field as it is.

    Raises:
        ExperimentError: The experiment is not trained, or its model belongs to other data or parameters.
        DataError: A file cannot be used, or nothing would be trained.
        ParametersError: An option is out of range, or the optimizer cannot be used on several GPUs.
        DivergenceError: A term of the loss is not finite.
        StoppedBySignalError: SIGTERM came; the experiment is as it was.
    """
    config, folder = experiment.config.training, experiment.folder
    options = _options(config, online | ({"freeze_mode": "new-batches"} if freeze else {}))
    config = config.model_copy(update={"max_steps": options.max_steps or config.max_steps})
    gpus = config.GPU if gpus is None else gpus
    set_gpu_and_threads(config.parallel_pc, gpus, config.deterministic)
    files = _with_columns(filename)
    trained, reference = _trained_model(experiment)
    _require_cells_to_replay(options, reference)
    n_cpus = experiment.config.input_ds.n_cpus_preprocessing or available_cpus()
    with (
        unwinding_on_sigterm("Online training"),
        staged_experiment(folder) as staging,
        temporary_folder(folder.scratch) as scratch,
    ):
        with worker_processes(n_cpus) as workers:
            place = OnDisk(scratch, workers)
            query = OnlineWAERecipe(
                reference,
                experiment.config.input_ds,
                input_files=files,
                n_jobs=n_cpus,
                allow_non_counts=allow_non_counts,
                on_disk=place,
                min_gene_overlap=options.min_gene_overlap,
            )()
            new_batches = [name for name in query.sc_raw.batches if name not in reference.batches]
            _require_new_batches(options, new_batches)
            joined = join_on_disk(folder.processed_file, query, place)
            joined.write_h5ad(staging.processed_file)
            if folder.tfrecords.exists() or not reference.n_obs:
                joined.write_records(staging.tfrecords)
            joined.for_round(options.replay, config.seed).write_records(scratch / "round")
        query.gene_report.write_csv(staging.gene_alignment)
        write_json(staging.parameters_file, _parameters_with(experiment, files))
        train_cells, valid_cells = _sources(scratch / "round")
        with on_gpus(gpus, config, train_cells.n_cells), computing_in(config.precision):
            family = _family_of_all(experiment, trained, joined)
            widen(trained, family, new_rows=options.new_rows, freeze_mode=options.freeze_mode)
            family.compile(configured_optimizer(config), wants_xla(config.XLA))
        history = fit(
            family,
            train_cells,
            valid_cells,
            batch_size=config.batch_size,
            seed=config.seed,
            epochs=range(config.max_steps),
            callbacks=configured_callbacks(config, staging, family),
        )
        best_epoch = read_description(staging.best_model)[3].epoch
        best = ready_to_resume(staging, config)
    added, epochs = query.sc_raw.n_obs, len(history.epoch)
    _LOGGER.info("%s: %s added, %s trained on them", experiment.name, counted(added, "cell"), counted(epochs, "epoch"))
    tell_of_doubts(experiment.name, family, folder.online_history, best_epoch)
    tell_of_older_projections(folder)
    return OnlineResult(added, new_batches, epochs, best, query.gene_report.numbers())


def _options(config: TrainingConfig, given: Mapping[str, Any]) -> OnlineTrainingConfig:
    """Return the configured options with those that were given in their place."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return validate_section(OnlineTrainingConfig, config.online.model_dump() | chosen, "training.online", "options")


def _with_columns(filename: NewFiles) -> dict[Path, str | None]:
    """Return the files with the obs column that names the batch."""
    if isinstance(filename, Mapping):
        return {Path(path): column for path, column in filename.items()}
    return dict.fromkeys([Path(filename)] if isinstance(filename, str | Path) else map(Path, filename))


def _trained_model(experiment: Experiment) -> tuple[ModelFamily, DISCERNData]:
    """Return the model and the annotation of the cells that it was trained on.

    Raises:
        ExperimentError: There is no model, or it belongs to other data or parameters.
    """
    require_ready(experiment, "onlinetraining")
    folder, path = experiment.folder, experiment.folder.best_model
    if not folder.processed_file.is_file():
        raise ExperimentError(f"{folder.processed_file} does not exist. Put the processed data of {path} there.")
    reference = read_reference(folder.processed_file)
    trained = trained_family(experiment)
    genes = genes_digest(reference.var_names)
    same_genes = trained.data.genes_sha256 in {"", genes}  # earlier files do not tell it
    if not (same_genes and trained.data.same_features(reference.n_vars, reference.batches, reference.transform)):
        raise ExperimentError(
            f"{path} was trained on other data than {folder.processed_file} holds. "
            "Run `discern train` on the processed data first."
        )
    if is_checkpoint(path) and trained.config != experiment.config.model:
        raise ExperimentError(
            f"{path} belongs to another model than the parameters describe. Restore the parameters it was trained with."
        )
    return trained, reference


def _require_cells_to_replay(options: OnlineTrainingConfig, reference: DISCERNData) -> None:
    if options.replay and not reference.n_obs:
        raise DataError("This experiment was shared without its cells, so none can be replayed. Leave --replay out.")


def _require_new_batches(options: OnlineTrainingConfig, new_batches: Sequence[str]) -> None:
    if options.freeze_mode == "new-batches" and not new_batches:
        raise DataError(
            "All batches of the new cells are known to the model, so nothing is left to train with --freeze. "
            "Leave --freeze out, or rename the batches that are others."
        )


def _family_of_all(experiment: Experiment, trained: ModelFamily, joined: JoinedCells) -> ModelFamily:
    cells = joined.annotation
    description = DataDescription(
        n_genes=cells.n_vars,
        batches=tuple(cells.batches),
        n_train_cells=len(cells.cells_of(TRAIN)) + n_train_cells_elsewhere(cells.config),
        transform=cells.transform,
        genes_sha256=genes_digest(cells.var_names),
    )
    model_config = experiment.config.model
    return FAMILIES.get(trained.name)(model_config, description, experiment.config.training.seed)


def _sources(records: Path) -> tuple[CellSource, CellSource]:
    train_cells, valid_cells = (RecordSource(records, split) for split in (TRAINING, VALIDATION))
    if valid_cells.n_cells:
        return train_cells, valid_cells
    _LOGGER.warning("There are too few new cells to validate on: losses are monitored on those that are trained on.")
    return train_cells, train_cells


def _parameters_with(experiment: Experiment, files: Mapping[Path, str | None]) -> dict[str, Any]:
    """Return the experiment's own parameters with the new files among the raw inputs and the seed that was used."""
    own = experiment.folder.parameters_file
    content = read_json(own) if own.is_file() else copy.deepcopy(experiment.content)
    section = content.setdefault("input_ds", {})
    raw_input = section.get("raw_input", [])
    known = {experiment.find(Path(path)).resolve() for path in raw_input}
    new = {str(path.absolute()): column for path, column in files.items() if path.resolve() not in known}
    if isinstance(raw_input, dict) or any(new.values()):
        named = raw_input if isinstance(raw_input, dict) else dict.fromkeys(raw_input)
        section["raw_input"] = {**named, **new}
    else:
        section["raw_input"] = [*raw_input, *new]
    seed = experiment.config.training.seed
    if content.get("training", {}).get("seed", 0) != seed:
        content.setdefault("training", {})["seed"] = seed
    return content
