"""The prior of counts of an experiment's model: fitted once, kept beside the model."""

from contextlib import nullcontext

import h5py
import numpy as np

from discern.errors import NoCountPriorError
from discern.io.file_digests import file_sha256
from discern.io.processed_annotation import read_annotation
from discern.io.processed_cells import ProcessedCells, open_own_cells
from discern.io.sealed_hdf5 import is_whole, sealed_hdf5
from discern.io.whole_files import replacing_file
from discern.models.contract import ModelFamily
from discern.projection.count_prior import CountPrior, fit_count_prior
from discern.workflows.experiment import Experiment

_MODEL, _CELLS = "model_sha256", "cells_sha256"


def count_prior_of(experiment: Experiment, family: ModelFamily, cells: ProcessedCells | None = None) -> CountPrior:
    """Return the prior of counts, read from the folder where it belongs to this model and these cells, else fitted and kept.

    Args:
        experiment: A trained experiment.
        family: Its model.
        cells: Its processed cells, where they are open; else they are opened when needed.

    Raises:
        NoCountPriorError: There are no validation cells to fit it to, or the family estimates something else than log expression.
    """
    folder = experiment.folder
    path = folder.count_prior
    if not folder.processed_file.is_file():
        raise NoCountPriorError(
            f"Posterior counts are fitted to validation cells, and {folder.processed_file} does not exist. Put the processed "
            "data of the model there, or do without posterior_counts (`--layers`)."
        )
    belongs_to = {
        _MODEL: file_sha256(folder.best_model) or "",
        _CELLS: read_annotation(folder.processed_file).cells_sha256,
    }
    if path.is_file() and is_whole(path):
        with h5py.File(path, "r") as file:
            if {name: file.attrs.get(name) for name in belongs_to} == belongs_to:
                return CountPrior(file["size"][()], file["ratio"][()])
    with nullcontext(cells) if cells else open_own_cells(folder, experiment.config.training.batch_size) as own:
        if not own.n_obs:
            raise NoCountPriorError(
                f"Posterior counts are fitted to validation cells, and {folder.path} was shared without its "
                "cells. Do without posterior_counts (`--layers`)."
            )
        prior = fit_count_prior(family, own)
    with replacing_file(path) as temporary, sealed_hdf5(temporary) as file:
        file.attrs.update(belongs_to)
        file["size"], file["ratio"] = (np.asarray(values, dtype=np.float32) for values in (prior.size, prior.ratio))
    return prior
