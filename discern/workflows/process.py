"""``process``: raw inputs → processed data and training records of one experiment."""

import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from discern.available_cpus import available_cpus
from discern.errors import ExperimentError, ParametersError, counted, names_in_short
from discern.io.batch_labels import why_nothing_to_decode_into
from discern.io.experiment_folder import ExperimentFolder
from discern.io.naming import SUFFIXES, file_suffix, input_names
from discern.io.processed_annotation import read_annotation
from discern.io.whole_files import remove_folder, replacing_file, replacing_folder, temporary_folder, write_json
from discern.keys import BATCH
from discern.preprocessing.cells import OnDisk
from discern.preprocessing.recipe import WAERecipe
from discern.ray_workers import ray_workers
from discern.workers import worker_processes
from discern.workflows.experiment import Experiment
from discern.workflows.working_alone import working_alone

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProcessResult:
    """What preprocessing left.

    Attributes:
        n_cells: Cells kept.
        n_genes: Genes kept.
        batches: Cells per batch.
    """

    n_cells: int
    n_genes: int
    batches: dict[str, int]


@working_alone("process")
def process(
    experiment: Experiment,
    *,
    force: bool = False,
    copy_original: bool = False,
    with_tfrecords: bool = True,
    allow_non_counts: bool = False,
    n_jobs: int | None = None,
    ray: str | None = None,
) -> ProcessResult:
    """Preprocess one experiment and write its folder.

    Args:
        experiment: The experiment.
        force: Replace earlier processed data; they stay as they are until the new ones are whole.
        copy_original: Also copy the raw inputs into the experiment folder.
        with_tfrecords: Write training records.
        allow_non_counts: Accept values that are not whole numbers.
        n_jobs: CPUs to use; as configured when None.
        ray: Work on pieces of the data on the Ray cluster at this address; ``local``: one of this machine.

    Raises:
        ExperimentError: There are processed data and ``force`` is not given.
        DataError: The inputs cannot be used.
    """
    folder = experiment.folder
    if folder.processed_file.exists() and not force:
        raise ExperimentError(f"{folder.processed_data} already holds processed data. Give --force to replace them.")
    inputs = experiment.input_paths()
    if not inputs:
        raise ParametersError(f"experiments.{experiment.name}.input_ds.raw_input names no file; nothing to process.")
    search = search_file(experiment)
    n_cpus = n_jobs or experiment.config.input_ds.n_cpus_preprocessing or available_cpus()
    who_works = worker_processes(n_cpus) if ray is None else ray_workers(ray, n_cpus)
    with temporary_folder(folder.scratch) as scratch, who_works as workers:
        recipe = WAERecipe(
            experiment.config.input_ds,
            input_files=inputs,
            n_jobs=n_cpus,
            allow_non_counts=allow_non_counts,
            on_disk=OnDisk(scratch, workers),
        )
        recipe()
        _tell_of_lost_batches(folder, recipe.sc_raw.batches)
        if copy_original:
            _copy_inputs(list(inputs), folder)
        _write_parameters(experiment, search)
        if with_tfrecords:
            with replacing_folder(folder.tfrecords) as records:
                recipe.dump_tf_records(records)
                recipe.dump(folder.path)  # both are whole before either takes its place
        else:
            recipe.dump(folder.path)
            remove_folder(folder.tfrecords)  # they belong to the data that was just replaced
    data = recipe.sc_raw
    counts = data.obs[BATCH].value_counts()
    batches = {name: int(counts[name]) for name in data.batches}
    if fault := why_nothing_to_decode_into(list(batches)):
        _LOGGER.warning("%s", fault)
    if folder.last_state.exists():
        _LOGGER.warning(
            "%s was trained on the earlier data. Train anew with `discern train --restart`, unless the data are the same.",
            folder.job,
        )
    _LOGGER.info(
        "%s: %s, %s, %s written",
        experiment.name,
        counted(data.n_obs, "cell"),
        counted(data.n_vars, "gene"),
        counted(len(batches), "batch", "batches"),
    )
    return ProcessResult(data.n_obs, data.n_vars, batches)


def _tell_of_lost_batches(folder: ExperimentFolder, batches: Iterable[str]) -> None:
    """Warn of batches of the data that are about to be replaced and that the new data lack."""
    if not folder.processed_file.is_file():
        return
    try:
        lost = [name for name in read_annotation(folder.processed_file).batches if name not in set(batches)]
    except ExperimentError:  # damaged data may be what is to be replaced
        return
    if lost:
        _LOGGER.warning(
            "%s held %s that input_ds.raw_input does not give: %s. They are dropped. What `discern onlinetraining` added "
            "must be added again, or its files named in raw_input.",
            folder.processed_file,
            counted(len(lost), "batch", "batches"),
            names_in_short(lost),
        )


def search_file(experiment: Experiment) -> Path | None:
    """Return the search file that the experiment names, if any.

    Raises:
        ParametersError: It does not exist.
    """
    search = experiment.config.hyperparameter_search
    if search is None:
        return None
    path = experiment.find(Path(search))
    if not path.is_file():
        raise ParametersError(f"experiments.{experiment.name}.hyperparameter_search: {search} does not exist.")
    return path


def _write_parameters(experiment: Experiment, search: Path | None) -> None:
    """Write the experiment's own parameters.json, and copy its search file when it names one."""
    write_json(experiment.folder.parameters_file, experiment.content)
    if search is not None and search.resolve() != experiment.folder.hyperparameter_file.resolve():
        with replacing_file(experiment.folder.hyperparameter_file) as temporary:
            shutil.copyfile(search, temporary)


def _copy_inputs(paths: list[Path], folder: ExperimentFolder) -> None:
    with replacing_folder(folder.original_data) as temporary:
        for name, path in zip(input_names(paths), paths, strict=True):
            if path.is_dir():
                shutil.copytree(path, temporary / name)
            else:
                suffix = file_suffix(path)  # the name of a file of unknown kind still has its suffix
                shutil.copyfile(path, temporary / (name + suffix if suffix in SUFFIXES else name))
