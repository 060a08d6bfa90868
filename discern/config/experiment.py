"""One experiment of parameters.json, and the whole file."""

import re
from typing import Annotated, Any, Union

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from discern.config_section import ConfigSection
from discern.models.catalog import CONFIGS, DEFAULT_FAMILY
from discern.preprocessing.config import InputConfig
from discern.training.config import TrainingConfig

_SAFE_NAME = re.compile(r"[^/\\\0]+")


def _family_name(section: Any) -> str:
    name = (
        section.get("name", DEFAULT_FAMILY) if isinstance(section, dict) else getattr(section, "name", DEFAULT_FAMILY)
    )
    return str(name)


def _model_section() -> Any:
    """Return the union of all families' sections, told apart by ``name``."""
    sections = {name: CONFIGS.get(name) for name in CONFIGS.entries}
    if len(sections) == 1:
        return sections[DEFAULT_FAMILY]
    tagged = tuple(Annotated[section, Tag(name)] for name, section in sections.items())
    return Annotated[Union[tagged], Discriminator(_family_name)]  # noqa: UP007 - built at run time


class ExperimentConfig(ConfigSection):
    """One experiment.

    Attributes:
        input_ds: Which data, and how they are preprocessed.
        model: The model family and its architecture.
        training: How it is trained.
        hyperparameter_search: Path of a search file that is copied into the experiment folder.
    """

    input_ds: InputConfig = InputConfig()
    model: _model_section() = Field(default_factory=lambda: CONFIGS.get(DEFAULT_FAMILY)())  # type: ignore[valid-type]
    training: TrainingConfig = TrainingConfig()
    hyperparameter_search: str | None = None


class ExperimentsFolderConfig(ConfigSection):
    """Where experiments live.

    Attributes:
        experiments_dir: Parent of all experiment folders.
    """

    experiments_dir: str = "experiments"


class ParametersFile(ConfigSection):
    """A file with several experiments.

    Attributes:
        exp_param: Where experiments live.
        experiments: Experiments by name; the name is that of the folder.
    """

    exp_param: ExperimentsFolderConfig = ExperimentsFolderConfig()
    experiments: dict[str, ExperimentConfig] = Field(min_length=1)

    @field_validator("experiments", mode="before")
    @classmethod
    def _folder_names(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for name in value:
                if not _SAFE_NAME.fullmatch(str(name)) or str(name).strip(". ") == "":
                    raise ValueError(f"'{name}' cannot be the name of a folder; use letters, digits, '-', '_' or '.'")
        return value

    @model_validator(mode="after")
    def _names_differ_by_more_than_case(self) -> "ParametersFile":
        lower = [name.lower() for name in self.experiments]
        if len(set(lower)) < len(lower):
            raise ValueError("two experiment names differ only by case; some file systems would mix their folders")
        return self
