"""One experiment of parameters.json, and the whole file."""

from itertools import combinations
from pathlib import PurePosixPath
from typing import Annotated, Any, Union

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from discern.config_section import ConfigSection
from discern.models.catalog import CONFIGS, DEFAULT_FAMILY
from discern.preprocessing.config import InputConfig
from discern.training.config import TrainingConfig


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


def _folder_name(name: str) -> str:
    if any(character in name for character in "\\\0") or any(not part.strip(". ") for part in name.split("/")):
        raise ValueError(
            "cannot be a folder below experiments_dir; use letters, digits, '-', '_' or '.', and '/' between folders"
        )
    return name


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
