"""``project``: decode the cells of one experiment into other batches."""

import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from discern.errors import ExperimentError, NoCountPriorError, ShapeError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.file_digests import file_sha256
from discern.io.processed_annotation import read_annotation
from discern.io.processed_cells import ProcessedCells, open_cells, open_own_cells
from discern.io.record_schema import genes_digest
from discern.keys import BATCH, POSTERIOR_COUNTS
from discern.models.contract import DataDescription, ModelFamily
from discern.projection.content import ProjectedContent
from discern.projection.count_prior import CountPrior
from discern.projection.project import LATENT_FILE, project_cells
from discern.projection.targets import Target, file_names
from discern.training.checkpoints import is_checkpoint
from discern.training.devices import set_gpu_and_threads
from discern.training.trained_model import load_trained
from discern.workflows.count_prior import count_prior_of
from discern.workflows.experiment import Experiment
from discern.workflows.readiness import require_ready
from discern.workflows.working_alone import working_alone

_LOGGER = logging.getLogger(__name__)


@working_alone("project")
def project(
    experiment: Experiment,
    targets: Sequence[Target] = (),
    *,
    all_batches: bool = False,
    filename: Path | None = None,
    store_sigmas: bool = False,
    content: ProjectedContent | None = None,
    gpus: list[int] | None = None,
) -> list[Path]:
    """Write the projected cells of a trained experiment.

    Args:
        experiment: A trained experiment.
        targets: What to project to; with none of these and not ``all_batches``, every cell's own batch.
        all_batches: Add one target per batch of the model.
        filename: Preprocessed cells in place of the experiment's own. Where ``projected/`` has a file of that name with
            other cells, theirs are written into a folder there that is named as this file.
        store_sigmas: Keep the latent log standard deviations.
        content: What the files hold; everything when None.
        gpus: GPUs to use in place of the configured ones.

    Returns:
        The files that were written.

    Raises:
        ExperimentError: There is no trained model.
        DataError: A target or gene does not occur, cells belong to unknown batches, or only latent codes are asked
            for and a target as well.
    """
    require_ready(experiment, "project", filename=filename, content=content, targets=targets, all_batches=all_batches)
    training = experiment.config.training
    set_gpu_and_threads(training.parallel_pc, training.GPU if gpus is None else gpus, training.deterministic)
    with _opened(experiment, filename) as cells:
        family = trained_family(experiment)
        if family.config != experiment.config.model:
            _LOGGER.warning(
                "The model section has changed since %s was trained; the trained model is used.", experiment.name
            )
        if filename is None:
            require_own_data(experiment, family, cells)
        wanted = list(targets)
        if all_batches:
            wanted += [Target(BATCH, name) for name in family.data.batches if Target(BATCH, name) not in wanted]
        wanted = wanted or [Target()]
        names = file_names(wanted, cells.obs, family.data.batches)
        if content is not None and content.latent_only:
            names = [LATENT_FILE]
        content = replace(content or ProjectedContent(), model_sha256=file_sha256(experiment.folder.best_model) or "")
        paths = project_cells(
            family,
            cells,
            wanted,
            experiment.folder.projected if filename is None else _folder_for(experiment.folder, filename, cells, names),
            seed=training.seed,
            store_sigmas=store_sigmas,
            content=content,
            prior=_prior_for(content, experiment, family, None if filename else cells),
        )
    for path in paths:
        _LOGGER.info("%s written", path)
    return paths


def _prior_for(
    content: ProjectedContent, experiment: Experiment, family: ModelFamily, cells: ProcessedCells | None
) -> CountPrior | None:
    """Return the prior of counts where it is needed; it may be missing unless the layer was asked for by name."""
    if not content.holds(POSTERIOR_COUNTS):
        return None
    try:
        return count_prior_of(experiment, family, cells)
    except NoCountPriorError as error:
        if content.layers is not None:
            raise
        _LOGGER.warning("The layer %s is left out: %s", POSTERIOR_COUNTS, error)
        return None


def _folder_for(folder: ExperimentFolder, filename: Path, cells: ProcessedCells, names: Sequence[str]) -> Path:
    """Return where projections of a named file are written: rather a folder of their own than over those of other cells."""
    places = itertools.chain([""], [filename.stem], (f"{filename.stem}-{number}" for number in itertools.count(2)))
    of_others: list[Path] = []
    for place in (folder.projected / one for one in places):
        taken = [path for name in names if (path := place / name).is_file() and not _holds(path, cells)]
        if not taken:
            break
        of_others += taken
    if of_others:
        _LOGGER.warning(
            "%s holds other cells and stays as it is; those of %s are written into %s.", of_others[0], filename, place
        )
    return place


def _holds(path: Path, cells: ProcessedCells) -> bool:
    """Tell whether a projected file is of these cells; one that cannot be read is not."""
    try:
        with h5py.File(path, "r") as file:
            obs = file["obs"]
            return bool(np.array_equal(obs[obs.attrs["_index"]].asstr()[:], cells.obs.index.to_numpy(dtype=str)))
    except (OSError, LookupError, TypeError, ValueError):
        return False


@contextmanager
def _opened(experiment: Experiment, filename: Path | None) -> Iterator[ProcessedCells]:
    """Give the cells to project; only their annotation is in memory."""
    batch_size = experiment.config.training.batch_size
    if filename is None:
        with open_own_cells(experiment.folder, batch_size) as cells:
            if not cells.n_obs:
                raise ExperimentError(
                    f"{experiment.folder.path} was shared without its cells. Name processed cells with --filename, or add "
                    "raw ones with `discern onlinetraining`."
                )
            yield cells
    else:
        with open_cells(filename, batch_size) as cells:
            yield _with_genes_of(experiment.folder, cells, filename)


def _with_genes_of(folder: ExperimentFolder, data: ProcessedCells, filename: Path) -> ProcessedCells:
    """Return the cells of another file with their genes in the order of the model's, matched by name.

    Raises:
        ShapeError: The file has other genes than the data the model was trained on.
    """
    genes = read_annotation(folder.processed_file).genes if folder.processed_file.is_file() else list(data.var_names)
    if list(data.var_names) == genes:
        return data
    missing, others = pd.Index(genes).difference(data.var_names), data.var_names.difference(genes)
    if len(missing) or len(others):
        examples = ", ".join([*missing[:3], *others[:3]])
        raise ShapeError(
            f"{filename} does not have the genes of the model: {len(missing)} of {len(genes)} are missing and "
            f"{len(others)} are others (e.g. {examples}). To add raw cells with these genes, use `discern onlinetraining`."
        )
    _LOGGER.info("The genes of %s stand in another order than the model's; they are matched by name.", filename)
    return data.with_genes(genes)


def require_own_data(experiment: Experiment, family: ModelFamily, cells: ProcessedCells) -> None:
    """Refuse processed cells of an experiment that are not those its model was trained on.

    Raises:
        ExperimentError: They have other genes, batches or another scaling.
    """
    if not family.data.same_features(cells.n_vars, cells.batches, cells.transform):
        raise ExperimentError(
            f"{experiment.folder.best_model} was trained on other data than {experiment.folder.processed_file} holds now. "
            f"Run `discern train {experiment.parameters_file} --restart` first; it keeps the old job in backup/."
        )


def trained_family(experiment: Experiment) -> ModelFamily:
    """Return the trained model; one saved by another program takes batch names and scaling from the processed file.

    Raises:
        ExperimentError: The file is damaged or of an unknown kind, or what it does not tell stands nowhere.
    """
    path = experiment.folder.best_model
    description = None if is_checkpoint(path) else _description_beside(experiment.folder)
    return load_trained(path, experiment.config.training.seed, description)[0]


def _description_beside(folder: ExperimentFolder) -> DataDescription:
    """Return what the model of another program was trained on; the file of the model tells the number of cells."""
    if not folder.processed_file.is_file():
        raise ExperimentError(
            f"{folder.best_model} was saved by another program and does not tell its batches and scaling. They are read "
            f"from {folder.processed_file}, which does not exist: put the processed data of the model there."
        )
    known = read_annotation(folder.processed_file)
    return DataDescription(known.n_genes, tuple(known.batches), 0, known.transform, genes_digest(known.genes))
