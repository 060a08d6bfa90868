"""Reading parameters.json: a file of experiments, or the file inside one experiment folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discern.config.experiment import ExperimentConfig, ParametersFile
from discern.config_section import validate_section
from discern.errors import MissingParameterError
from discern.io.json_files import read_json

_SECTIONS = ("input_ds", "model", "training")


@dataclass(frozen=True)
class LoadedExperiment:
    """One experiment of a parameters file.

    Attributes:
        name: Its name.
        folder: Its folder.
        config: The validated configuration.
        content: The experiment as it stands in the file.
    """

    name: str
    folder: Path
    config: ExperimentConfig
    content: dict[str, Any]


def load_experiments(path: Path) -> list[LoadedExperiment]:
    """Read all experiments of a file.

    Raises:
        ParametersError: The file is absent, no JSON, or has invalid entries (all are listed).
    """
    content = read_json(path)
    if "experiments" in content or "exp_param" in content:
        file = validate_section(ParametersFile, content, source=str(path))
        parent = Path(file.exp_param.experiments_dir)
        return [
            LoadedExperiment(name, parent / name, config, content["experiments"][name])
            for name, config in file.experiments.items()
        ]
    if not any(section in content for section in _SECTIONS):
        raise MissingParameterError(
            f"{path} holds neither 'experiments' nor the sections of one experiment ({', '.join(_SECTIONS)}). "
            f"Found: {', '.join(map(str, content)) or 'nothing'}."
        )
    folder = path.resolve().parent
    config = validate_section(ExperimentConfig, content, source=str(path))
    return [LoadedExperiment(folder.name, folder, config, content)]


def experiment_config(content: Mapping[str, Any], source: str = "parameters") -> ExperimentConfig:
    """Validate one experiment given as a dictionary, which is left unchanged.

    Raises:
        ParametersError: It has invalid entries.
    """
    return validate_section(ExperimentConfig, content, source=source)
