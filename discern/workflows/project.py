"""``project``: decode the cells of one experiment into other batches."""

import logging
from collections.abc import Sequence
from pathlib import Path

from discern.errors import ExperimentError
from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.keys import BATCH
from discern.models.catalog import FAMILIES
from discern.models.contract import DataDescription, ModelFamily
from discern.models.wae.published_file import is_published_file, read_published_model, set_published_weights
from discern.projection.project import project_cells
from discern.projection.targets import Target
from discern.training.checkpoints import load_family
from discern.training.devices import set_gpu_and_threads
from discern.workflows.experiment import Experiment

_LOGGER = logging.getLogger(__name__)


def project(
    experiment: Experiment,
    targets: Sequence[Target] = (),
    *,
    all_batches: bool = False,
    filename: Path | None = None,
    store_sigmas: bool = False,
    gpus: list[int] | None = None,
) -> list[Path]:
    """Write the projected cells of a trained experiment.

    Args:
        experiment: A trained experiment.
        targets: What to project to; with none of these and not ``all_batches``, every cell's own batch.
        all_batches: Add one target per batch of the model.
        filename: Preprocessed cells in place of the experiment's own.
        store_sigmas: Keep the latent log standard deviations.
        gpus: GPUs to use in place of the configured ones.

    Returns:
        The files that were written.

    Raises:
        ExperimentError: There is no trained model.
        DataError: A target does not occur, or cells belong to unknown batches.
    """
    training = experiment.config.training
    set_gpu_and_threads(training.parallel_pc, training.GPU if gpus is None else gpus)
    require_model(experiment.folder)
    if filename is None:
        data = DISCERNData.from_folder(experiment.folder.path, training.batch_size)
    else:
        data = DISCERNData.read_h5ad(filename, training.batch_size)
    family = trained_family(experiment, data)
    wanted = list(targets)
    if all_batches:
        wanted += [Target(BATCH, name) for name in family.data.batches if Target(BATCH, name) not in wanted]
    paths = project_cells(
        family,
        data,
        wanted or [Target()],
        experiment.folder.projected,
        seed=training.seed,
        store_sigmas=store_sigmas,
    )
    for path in paths:
        _LOGGER.info("%s written", path)
    return paths


def require_model(folder: ExperimentFolder) -> None:
    """Refuse an experiment that was never trained.

    Raises:
        ExperimentError: There is no model.
    """
    if not folder.best_model.is_file():
        raise ExperimentError(
            f"Cannot project: {folder.path} has no trained model. Run `discern train {folder.parameters_file}` first."
        )


def trained_family(experiment: Experiment, data: DISCERNData) -> ModelFamily:
    """Return the trained model; one saved by the published program takes batches and scaling from ``data``."""
    path = experiment.folder.best_model
    if not is_published_file(path):
        return load_family(path, experiment.config.training.seed)[0]
    published = read_published_model(path)
    description = DataDescription(published.n_genes, tuple(data.batches), published.n_train_cells, data.transform)
    family = FAMILIES.get(published.config.name)(published.config, description, experiment.config.training.seed)
    set_published_weights(family.model, published)
    return family
