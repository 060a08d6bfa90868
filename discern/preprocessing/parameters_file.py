"""The parameters.json inside an experiment folder, as far as preprocessing needs it."""

import json
from pathlib import Path
from typing import Any

from discern.errors import ExperimentError, MissingParameterError, ParametersError


def read_parameters(path: Path) -> dict[str, Any]:
    """Return the parameters of one experiment.

    Raises:
        ExperimentError: The file is absent.
        ParametersError: The file is no JSON object with ``input_ds``.
    """
    if not path.is_file():
        raise ExperimentError(f"{path} does not exist. `discern process` writes it.")
    try:
        parameters = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ParametersError(f"{path} is no valid JSON: {error}") from error
    if not isinstance(parameters, dict) or not isinstance(parameters.get("input_ds"), dict):
        found = ", ".join(parameters) if isinstance(parameters, dict) else type(parameters).__name__
        raise MissingParameterError(f"{path} has no section 'input_ds'. Found: {found or 'nothing'}.")
    return parameters
