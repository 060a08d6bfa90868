"""One parameters file from several."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from discern.config.loading import load_experiments
from discern.errors import ParametersError


def merge_parameters(files: Sequence[Path]) -> dict[str, Any]:
    """Return the content of one file whose experiments are those of all files.

    Experiments from different folders are named by their path below the folder that all have in common; there they
    are found again.

    Raises:
        ParametersError: A file is invalid, an experiment stands twice, or the folders have nothing in common.
    """
    experiments = [one for file in files for one in load_experiments(file)]
    folders = [Path(os.path.abspath(one.folder)) for one in experiments]
    twins = sorted({str(folder) for folder in folders if folders.count(folder) > 1})
    if twins:
        raise ParametersError(f"These experiments stand in more than one file: {', '.join(twins)}. Keep one of each.")
    try:
        parent = Path(os.path.commonpath([folder.parent for folder in folders]))
    except ValueError as error:
        raise ParametersError(f"The experiments have no folder in common: {error}.") from error
    deeper = [str(folder) for folder in folders if folder.parent != parent]
    if deeper:
        raise ParametersError(
            f"All experiments must lie directly in one folder; {parent} is the one in common, but these lie deeper: "
            f"{', '.join(deeper)}."
        )
    relative = Path(os.path.relpath(parent))
    shown = relative if ".." not in relative.parts else parent
    return {
        "exp_param": {"experiments_dir": str(shown)},
        "experiments": {folder.name: one.content for folder, one in zip(folders, experiments, strict=True)},
    }
