"""One parameters file from several."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from discern.config.experiment import ParametersFile
from discern.config.loading import load_experiments
from discern.config_section import validate_section
from discern.errors import ParametersError


def merge_parameters(files: Sequence[Path]) -> dict[str, Any]:
    """Return the content of one file whose experiments are those of all files.

    Experiments from different folders are named by their path below the folder that all have in common; there they
    are found again.

    Raises:
        ParametersError: A file is invalid, an experiment stands twice or lies inside another, or the folders have
            nothing in common.
    """
    experiments = [one for file in files for one in load_experiments(file)]
    folders = [Path(os.path.normpath(one.folder.absolute())) for one in experiments]
    twins = sorted({str(folder) for folder in folders if folders.count(folder) > 1})
    if twins:
        raise ParametersError(f"These experiments stand in more than one file: {', '.join(twins)}. Keep one of each.")
    try:
        parent = Path(os.path.commonpath([folder.parent for folder in folders]))
    except ValueError as error:
        raise ParametersError(f"The experiments have no folder in common: {error}.") from error
    relative = Path(os.path.relpath(parent))
    shown = relative if ".." not in relative.parts else parent
    names = [folder.relative_to(parent).as_posix() for folder in folders]
    merged = {
        "exp_param": {"experiments_dir": str(shown)},
        "experiments": {name: one.content for name, one in zip(names, experiments, strict=True)},
    }
    validate_section(ParametersFile, merged, source="the merged file")
    return merged
