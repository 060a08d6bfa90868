"""Preprocess a whole experiment folder and write what training needs."""

import logging
from os import PathLike
from pathlib import Path

from discern.io.experiment_folder import ExperimentFolder
from discern.preprocessing.recipe import WAERecipe

log = logging.getLogger(__name__)


def read_process_serialize(job_path: str | PathLike[str], with_tfrecords: bool = True) -> None:
    """Read the raw data an experiment folder names, run the recipe, and write data and records into the folder.

    Args:
        job_path: The folder, with parameters.json.
        with_tfrecords: Also write the training records.
    """
    folder = ExperimentFolder(Path(job_path))
    recipe = WAERecipe.from_path(job_path)()
    log.info("Writing %s", folder.processed_file)
    recipe.dump(job_path)
    if with_tfrecords:
        log.info("Writing %s", folder.tfrecords)
        recipe.dump_tf_records(folder.tfrecords)
