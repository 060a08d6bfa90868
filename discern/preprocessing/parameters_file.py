"""The parameters.json inside an experiment folder, as far as preprocessing needs it."""

from pathlib import Path
from typing import Any

from discern.errors import ExperimentError, MissingParameterError
from discern.io.json_files import read_json


def read_parameters(path: Path) -> dict[str, Any]:
    """Return the parameters of one experiment.

    Raises:
        ExperimentError: The file is absent.
        ParametersError: The file is no JSON object with ``input_ds``.
    """
    if not path.is_file():
        raise ExperimentError(f"{path} does not exist. `discern process` writes it.")
    parameters = read_json(path)
    if not isinstance(parameters.get("input_ds"), dict):
        raise MissingParameterError(f"{path} has no section 'input_ds'. Found: {', '.join(parameters) or 'nothing'}.")
    return parameters
