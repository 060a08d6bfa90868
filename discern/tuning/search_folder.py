"""The files of a search, and of each of its trials: plain JSON, from which a search goes on after any end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from discern.errors import ExperimentError, ParametersError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.json_files import read_json
from discern.io.whole_files import write_json, write_text


@dataclass(frozen=True)
class TrialFolder:
    """An ordinary experiment folder, but for a few more files.

    Attributes:
        path: The folder; its name is that of the trial.
    """

    path: Path

    @property
    def name(self) -> str:
        """Name of the trial."""
        return self.path.name

    @property
    def experiment(self) -> ExperimentFolder:
        """The trial as an experiment."""
        return ExperimentFolder(self.path)

    @property
    def sample_file(self) -> Path:
        """What was sampled for it."""
        return self.path / "sample.json"

    @property
    def results_file(self) -> Path:
        """What it reported, one line per step."""
        return self.path / "result.jsonl"

    @property
    def outcome_file(self) -> Path:
        """How it ended; absent while it can go on."""
        return self.path / "outcome.json"

    def reported_model(self, best_epoch: int | str) -> Path:
        """The best model that a report is of; absent once the trial has ended."""
        return self.path / f"reported_model_{best_epoch}.hdf5"

    @property
    def unreported_model(self) -> Path:
        """A best model that is newer than the last report; absent while the trial runs."""
        return self.path / "unreported_model.hdf5"

    @property
    def error_file(self) -> Path:
        """What its process said when it died last; absent when it never did."""
        return self.path / "error.txt"

    def read_sample(self) -> dict[str, Any]:
        """Return the sample.

        Raises:
            ExperimentError: The file is damaged.
        """
        return _content(self.sample_file)

    def read_outcome(self) -> dict[str, Any] | None:
        """Return ``status`` and ``why``; None while the trial can go on."""
        return _content(self.outcome_file) if self.outcome_file.is_file() else None

    def write_outcome(self, status: str, why: str = "") -> None:
        """Write that the trial has ended: ``finished``, ``diverged`` or ``failed``."""
        write_json(self.outcome_file, {"status": status, "why": why})

    def read_results(self) -> list[dict[str, Any]]:
        """Return what it reported, step by step.

        Raises:
            ExperimentError: The file is damaged.
        """
        if not self.results_file.is_file():
            return []
        try:
            return [json.loads(line) for line in self.results_file.read_text(encoding="utf-8").splitlines()]
        except ValueError as error:
            raise ExperimentError(
                f"{self.results_file} is damaged: {error}. Remove {self.path}, or begin anew with `discern optimize --restart`."
            ) from error

    def write_results(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Write all steps; the file appears whole."""
        write_text(self.results_file, "".join(json.dumps(result) + "\n" for result in results))


@dataclass(frozen=True)
class SearchFolder:
    """The folder ``optimize`` of an experiment.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def description_file(self) -> Path:
        """What is searched, how, and on which data."""
        return self.path / "search.json"

    @property
    def trials(self) -> Path:
        """Folder of the trials."""
        return self.path / "trials"

    @property
    def analysis(self) -> Path:
        """All trials."""
        return self.path / "analysis.json"

    @property
    def analysis_table(self) -> Path:
        """All trials as a table."""
        return self.path / "analysis.csv"

    @property
    def best_parameters(self) -> Path:
        """Parameters file of the best trial."""
        return self.path / "best_parameters.json"

    @property
    def importance(self) -> Path:
        """How much each hyperparameter matters."""
        return self.path / "importance.json"

    @property
    def pictures(self) -> Path:
        """Folder of the pictures."""
        return self.path / "pictures"

    @property
    def backup(self) -> Path:
        """Earlier searches that ``--restart`` set aside, as 1, 2, ..."""
        return self.path / "backup"

    def trial(self, name: str) -> TrialFolder:
        """Return the folder of one trial."""
        return TrialFolder(self.trials / name)

    def all_trials(self) -> list[TrialFolder]:
        """Return the trials that were begun, in the order of their names."""
        return [TrialFolder(file.parent) for file in sorted(self.trials.glob("*/sample.json"))]

    def read_description(self) -> dict[str, Any]:
        """Return what ``write_description`` wrote.

        Raises:
            ExperimentError: The file is damaged.
        """
        return _content(self.description_file)

    def write_description(self, content: Mapping[str, Any]) -> None:
        """Write what is searched."""
        write_json(self.description_file, content)

    def set_aside(self) -> Path | None:
        """Move what the folder holds to the next free number of its backup folder, which is returned."""
        found = [one for one in self.path.iterdir() if one != self.backup] if self.path.is_dir() else []
        if not found:
            return None
        numbers = [int(one.name) for one in self.backup.glob("*") if one.name.isdecimal()]
        target = self.backup / str(max(numbers, default=0) + 1)
        target.mkdir(parents=True)
        for one in found:
            one.rename(target / one.name)
        return target


def sample_digest(sample: Mapping[str, Any]) -> str:
    """Return eight digits that name a sample."""
    return sha256(json.dumps(sample, sort_keys=True).encode()).hexdigest()[:8]


def _content(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except ParametersError as error:
        raise ExperimentError(
            f"{error} Restore the file, or begin anew with `discern optimize --restart`, which keeps the old search."
        ) from error
