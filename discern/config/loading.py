"""Reading parameters.json: a file of experiments, or the file inside one experiment folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from discern.config.experiment import ExperimentConfig, ParametersFile
from discern.config_section import parameters_error
from discern.errors import MissingParameterError, ParametersError

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
        file = validated(ParametersFile, content, path)
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
    return [LoadedExperiment(folder.name, folder, validated(ExperimentConfig, content, path), content)]


def experiment_config(content: Mapping[str, Any], source: str = "parameters") -> ExperimentConfig:
    """Validate one experiment given as a dictionary, which is left unchanged.

    Raises:
        ParametersError: It has invalid entries.
    """
    return validated(ExperimentConfig, dict(content), source)


def validated(section: Any, content: Mapping[str, Any], source: Path | str) -> Any:
    """Return ``content``, which is left unchanged, as an instance of a configuration class.

    Args:
        section: The class.
        content: What was given.
        source: Name of the file, for messages.

    Raises:
        ParametersError: It has invalid entries; the message lists all.
    """
    try:
        return section.model_validate(content)
    except ValidationError as error:
        raise parameters_error(error, section, source=str(source)) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; keys given twice and NaN are errors.

    Raises:
        ParametersError: The file is absent, unreadable or no JSON object.
    """
    if path.is_dir():
        raise ParametersError(f"{path} is a folder. Give the parameters.json inside it.")
    if not path.is_file():
        raise ParametersError(f"{path} does not exist.")
    try:
        content = json.loads(
            path.read_text(encoding="utf-8-sig"), object_pairs_hook=_no_twins, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise ParametersError(
            f"{path} is no valid JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise ParametersError(f"{path} is no valid JSON: {error}.") from error
    except ParametersError as error:
        raise ParametersError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise ParametersError(f"{path} holds a {type(content).__name__}, expected an object with 'experiments'.")
    return content


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twins = sorted({name for name in names if names.count(name) > 1})
        raise ParametersError(f"the key '{twins[0]}' stands twice in one object; keep one.")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ParametersError(f"{name} is no JSON number.")
