"""One experiment of parameters.json, and the whole file."""

import unicodedata
from itertools import combinations
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Union

from pydantic import AfterValidator, Field, ValidationError, WrapValidator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from discern.config_section import ConfigSection, PathName, possible_path
from discern.errors import UnknownNameError
from discern.models.catalog import CONFIGS, DEFAULT_FAMILY
from discern.preprocessing.config import InputConfig
from discern.registry import Registry
from discern.training.config import TrainingConfig


def model_section(families: Registry) -> Any:
    """Return the type of a ``model`` section: that of the family its ``name`` tells, the default one without.

    The section is handed to its own class, not to a union, so that faults carry paths of the file and no others.

    Args:
        families: The configuration class of every family.
    """

    def validate(section: Any, _of_the_union: Any) -> Any:
        given = section if isinstance(section, dict) else getattr(section, "__dict__", {})
        name = given.get("name", DEFAULT_FAMILY)
        try:
            return families.get(str(name)).model_validate(section)
        except UnknownNameError as error:
            told = PydanticCustomError("unknown_name", "{fault}", {"fault": str(error)})
            fault = InitErrorDetails(type=told, loc=("name",), input=name)
            raise ValidationError.from_exception_data("model", [fault]) from error

    sections = tuple(families.get(name) for name in families.entries)
    return Annotated[Union[sections], WrapValidator(validate)]  # noqa: UP007 - built at run time


class ExperimentConfig(ConfigSection):
    """One experiment.

    Attributes:
        input_ds: Which data, and how they are preprocessed.
        model: The model family and its architecture.
        training: How it is trained.
        hyperparameter_search: Path of a search file that is copied into the experiment folder.
    """

    input_ds: InputConfig = InputConfig()
    model: model_section(CONFIGS) = Field(default_factory=lambda: CONFIGS.get(DEFAULT_FAMILY)())  # type: ignore[valid-type]
    training: TrainingConfig = TrainingConfig()
    hyperparameter_search: PathName | None = None


class ExperimentsFolderConfig(ConfigSection):
    """Where experiments live.

    Attributes:
        experiments_dir: Parent of all experiment folders.
    """

    experiments_dir: PathName = "experiments"


def _folder_name(name: str) -> str:
    impossible = any(character == "\\" or unicodedata.category(character) == "Cc" for character in name)
    leads_out = any(not part.strip(". ") for part in name.split("/")) or PureWindowsPath(name).drive
    if impossible or leads_out:
        raise ValueError(
            "cannot be a folder below experiments_dir; use letters, digits, '-', '_' or '.', and '/' between folders"
        )
    return possible_path(name)


class ParametersFile(ConfigSection):
    """A file with several experiments.

    Attributes:
        exp_param: Where experiments live.
        experiments: Experiments by name; the name is that of the folder, and may be a path like ``group/run1``.
    """

    exp_param: ExperimentsFolderConfig = ExperimentsFolderConfig()
    experiments: dict[Annotated[str, AfterValidator(_folder_name)], ExperimentConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _own_folder_each(self) -> "ParametersFile":
        for first, second in combinations(self.experiments, 2):
            if first.lower() == second.lower():
                raise ValueError(
                    f"'{first}' and '{second}' differ only by case; some file systems would mix their folders"
                )
            for outer, inner in ((first, second), (second, first)):
                if PurePosixPath(outer.lower()) in PurePosixPath(inner.lower()).parents:
                    raise ValueError(f"experiment '{inner}' would lie inside the folder of experiment '{outer}'")
        return self
