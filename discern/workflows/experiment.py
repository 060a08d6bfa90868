"""One experiment on its way through the commands."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from discern.config.experiment import ExperimentConfig
from discern.config.loading import experiment_config, load_experiments
from discern.io.experiment_folder import ExperimentFolder


@dataclass(frozen=True)
class Experiment:
    """An experiment of a parameters file; can be sent to another process.

    Attributes:
        name: Its name.
        folder: Its folder.
        config: The validated configuration.
        content: The experiment as it stands in the file.
        parameters_file: The file it was read from.
    """

    name: str
    folder: ExperimentFolder
    config: ExperimentConfig
    content: dict[str, Any]
    parameters_file: Path

    @property
    def experiments_dir(self) -> Path:
        """The folder that holds this experiment and its siblings; a name like ``group/run1`` lies deeper."""
        return self.folder.path.parents[len(PurePosixPath(self.name).parts) - 1]

    def with_seed(self, seed: int, of_split: bool = False) -> "Experiment":
        """Return the experiment with another ``training.seed``.

        Args:
            seed: The seed.
            of_split: It is also ``input_ds.split.split_seed``.

        Raises:
            ParametersError: The seed is negative or too large.
        """
        content = copy.deepcopy(self.content)
        content.setdefault("training", {})["seed"] = seed
        if of_split:
            content.setdefault("input_ds", {}).setdefault("split", {})["split_seed"] = seed
        config = experiment_config(content, source=f"experiment {self.name}")
        return replace(self, content=content, config=config)

    def input_paths(self) -> dict[Path, str | None]:
        """Return the raw inputs with their batch columns.

        A relative path is looked up from the current folder, then from the folder of the parameters file.
        """
        raw = self.config.input_ds.raw_input
        named = raw if isinstance(raw, dict) else dict.fromkeys(raw)
        return {self.find(Path(path)): column for path, column in named.items()}

    def find(self, path: Path) -> Path:
        """Return where a path of the parameters leads: from the current folder, else from that of the file."""
        beside_parameters = self.parameters_file.resolve().parent / path
        return beside_parameters if not path.exists() and beside_parameters.exists() else path


def read_experiments(parameters_file: Path) -> list[Experiment]:
    """Return all experiments of a parameters file.

    Raises:
        ParametersError: The file is invalid.
    """
    return [
        Experiment(one.name, ExperimentFolder(one.folder), one.config, one.content, parameters_file)
        for one in load_experiments(parameters_file)
    ]


def experiment_of_folder(exp_folder: Path) -> Experiment:
    """Return the experiment whose folder holds its own parameters.json."""
    return read_experiments(ExperimentFolder(Path(exp_folder)).parameters_file)[0]
