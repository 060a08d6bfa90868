"""Projected files outlive the model that made them; users are told."""

import logging

from discern.errors import counted
from discern.io.experiment_folder import ExperimentFolder

_LOGGER = logging.getLogger(__name__)


def tell_of_older_projections(folder: ExperimentFolder) -> None:
    """Say which projected files are of the model as it was before.

    Args:
        folder: An experiment whose model has just changed.
    """
    files = sorted(folder.projected.rglob("*.h5ad"))
    if files:
        _LOGGER.info(
            "%s in %s %s of the model before. Project again to replace what you still need.",
            counted(len(files), "file"),
            folder.projected,
            "is" if len(files) == 1 else "are",
        )
