"""``export`` and ``import``: an experiment as one file, and back."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import h5py

from discern.config.loading import read_json
from discern.errors import DataError, DiscernError, ExperimentError
from discern.io.archive_manifest import Manifest
from discern.io.checksums import UNREADABLE
from discern.io.experiment_archive import files_to_keep, read_manifest, unpack, write_archive
from discern.io.experiment_folder import ExperimentFolder
from discern.io.external_parts import refuse_external_parts
from discern.io.processed_annotation import read_annotation
from discern.io.record_schema import RecordSchema
from discern.io.sealed_hdf5 import is_sealed, is_whole
from discern.io.whole_files import size_in_words, sync_folder, sync_tree, temporary_folder, write_json
from discern.io.writing import write_h5ad
from discern.online_learning.reference import read_reference
from discern.online_learning.without_cells import without_cells
from discern.workflows.experiment import Experiment, experiment_of_folder
from discern.workflows.provenance import run_recorded
from discern.workflows.working_alone import working_alone

_LEADING_AWAY = {"exp_param", "experiments", "hyperparameter_search"}
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportResult:
    """What was exported.

    Attributes:
        path: The archive.
        files: Names of the files it holds.
    """

    path: Path
    files: list[str]


@working_alone("export")
def export_experiment(
    experiment: Experiment, path: Path, *, with_cells: bool = True, force: bool = False
) -> ExportResult:
    """Write parameters, processed data, records and model of an experiment into one zip file.

    Args:
        experiment: A processed experiment.
        path: The file.
        with_cells: False leaves out all that tells of single cells, and the names of input files: what stays is what
            others need to add cells of theirs with ``onlinetraining``. This needs a trained model.
        force: Replace a file that is there.

    Raises:
        ExperimentError: The experiment was not processed or, where cells are left out, has no model of this program; or
            the file exists.
    """
    folder, path = experiment.folder, Path(path)
    if os.path.lexists(path) and not (force and path.is_file()):
        raise ExperimentError(f"{path} exists. Give another name, or --force to replace a file.")
    if not folder.processed_file.is_file():
        raise ExperimentError(f"{folder.processed_file} does not exist. Run `discern process` first.")
    files = files_to_keep(folder)
    with temporary_folder(path) as scratch:
        made = ExperimentFolder(scratch)
        own = read_json(folder.parameters_file) if folder.parameters_file.is_file() else experiment.content
        parameters = {key: value for key, value in own.items() if key not in _LEADING_AWAY}
        if not with_cells:
            parameters["input_ds"] = {**parameters.get("input_ds", {}), "raw_input": []}
            _write_without_cells(folder, made)
            kept = (folder.best_model, folder.history)
            files = {name: source for name, source in files.items() if source in kept}
        write_json(made.parameters_file, parameters)
        files |= files_to_keep(made)
        manifest = write_archive(path, folder.path.resolve().name, files, with_cells=with_cells)
    _LOGGER.info("%s written (%s), %s", path, size_in_words(path), "all cells" if with_cells else "no cells")
    return ExportResult(path, [one.name for one in manifest.files])


def import_experiment(path: Path, into: Path) -> Experiment:
    """Unpack an archive into a new folder, which appears when all of it is whole and was checked.

    Args:
        path: From ``discern export``.
        into: Parent of the folder, which has the name of the experiment.

    Returns:
        The experiment.

    Raises:
        DataError: The archive is damaged, hostile or holds something else.
        ExperimentError: The folder exists, or the disk has too little room.
    """
    path, into = Path(path), Path(into)
    target = into / read_manifest(path).name
    if os.path.lexists(target):
        raise ExperimentError(f"{target} exists already. Import into another folder with --into, or move it away.")
    with temporary_folder(target) as temporary:
        manifest = unpack(path, temporary)
        _check(ExperimentFolder(temporary), path)
        sync_tree(temporary)
        if os.path.lexists(target) or manifest.name != target.name:
            raise ExperimentError(f"{target} or {path} changed meanwhile. Import again.")
        temporary.rename(target)
        sync_folder(into)
    experiment = experiment_of_folder(target)
    run_recorded("import", experiment, lambda one, filename: manifest.model_dump(exclude={"files"}), {"filename": path})
    _LOGGER.info("%s: %s", target, _told(manifest))
    return experiment


def _write_without_cells(folder: ExperimentFolder, made: ExperimentFolder) -> None:
    from discern.training.checkpoints import is_checkpoint, read_description  # imports TensorFlow

    if not folder.best_model.is_file() or not is_checkpoint(folder.best_model):
        raise ExperimentError(
            f"Without cells there is nothing to share: {folder.best_model} is absent or of another program. "
            f"Run `discern train {folder.parameters_file}` first."
        )
    n_train_cells = read_description(folder.best_model)[2].n_train_cells
    write_h5ad(without_cells(read_reference(folder.processed_file), n_train_cells), made.processed_file)


def _check(folder: ExperimentFolder, path: Path) -> None:
    """Refuse files that are not what an experiment needs, or lead out of it.

    Raises:
        DataError: One of them is.
    """
    try:
        experiment = experiment_of_folder(folder.path)
        if experiment.folder.path != folder.path.resolve() or not _LEADING_AWAY.isdisjoint(experiment.content):
            raise DataError(f"{folder.parameters_file} names folders or files elsewhere.")
        for file in sorted(folder.path.rglob("*")):
            if file.suffix in {".hdf5", ".h5ad"}:
                _check_hdf5(file)
        annotation = read_annotation(folder.processed_file)
        if folder.tfrecords.exists():
            schema = RecordSchema.read(folder.tfrecords)
            schema.check(annotation.genes, annotation.batches, annotation.cells_sha256)
    except DiscernError as error:
        raise DataError(f"{path}: {str(error).replace(f'{folder.path}/', '')}") from error


def _check_hdf5(path: Path) -> None:
    try:
        if is_sealed(path) and not is_whole(path):
            raise DataError(f"{path} is damaged: its checksum is another.")
        with h5py.File(path, "r") as file:
            refuse_external_parts(file, path)
    except DiscernError:
        raise
    except UNREADABLE as error:
        raise DataError(f"{path} is damaged or no HDF5 file: {error}.") from error


def _told(manifest: Manifest) -> str:
    names = {one.name for one in manifest.files}
    model = "a trained model" if any(name.startswith("job/best_model") for name in names) else "no model"
    return f"{model}, {'processed cells' if manifest.with_cells else 'no cells'}"
