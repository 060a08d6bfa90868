"""What a search found: all trials as JSON and as a table, and the best one as an experiment that can be projected."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from discern.io.experiment_folder import ExperimentFolder
from discern.io.json_files import read_json
from discern.io.whole_files import link_or_copy, replacing_folder, write_json, write_text
from discern.tuning.metrics import direction
from discern.tuning.past import PastTrial
from discern.tuning.reported_model import forget_all, show_reported
from discern.tuning.search_folder import SearchFolder, TrialFolder

UNFINISHED = "unfinished"
_UNUSABLE = {"failed", "diverged"}
_NO_NUMBERS = {"sample", "done", "why", "failed"}


def trial_rows(trials: Sequence[PastTrial]) -> list[dict[str, Any]]:
    """Return one object per trial: name, status, sample (``config``), steps, and what it reported last."""
    rows = []
    for trial in trials:
        last = trial.results[-1] if trial.results else {}
        rows.append(
            {
                "trial": trial.folder.name,
                "status": _status(trial),
                "why": (trial.folder.read_outcome() or {}).get("why", "") or last.get("why", ""),
                "config": trial.sample,
                "training_iteration": len(trial.results),
                **{name: value for name, value in last.items() if name not in _NO_NUMBERS},
            }
        )
    return rows


def best_trial(trials: Sequence[PastTrial], metric: str) -> PastTrial | None:
    """Return the trial with the best last value of a metric among those with a trained model; None without any."""
    sign = 1.0 if direction(metric) == "min" else -1.0
    usable = [
        (sign * value, number)
        for number, trial in enumerate(trials)
        if _status(trial) not in _UNUSABLE
        and (value := trial.value(metric)) is not None
        and trial.folder.experiment.best_model.is_file()
    ]
    return trials[min(usable)[1]] if usable else None


def write_results(
    folder: SearchFolder, trials: Sequence[PastTrial], metric: str, data: ExperimentFolder
) -> PastTrial | None:
    """Write analysis.json and analysis.csv; complete the best trial, which is returned, and write its parameters.

    Args:
        folder: The search.
        trials: All of its trials; none runs.
        metric: What decides which is best.
        data: The experiment whose data were searched on.
    """
    rows = trial_rows(trials)
    write_json(folder.analysis, rows)
    write_text(folder.analysis_table, _as_table(rows))
    for trial in trials:
        show_reported(trial.folder, trial.best_epoch)
        if trial.status:
            forget_all(trial.folder)
    best = best_trial(trials, metric)
    if best is None:
        folder.best_parameters.unlink(missing_ok=True)
        return None
    complete(best.folder, data)
    parameters = read_json(best.folder.experiment.parameters_file)
    write_json(
        folder.best_parameters,
        {"exp_param": {"experiments_dir": str(folder.trials)}, "experiments": {best.folder.name: parameters}},
    )
    return best


def complete(trial: TrialFolder, data: ExperimentFolder) -> None:
    """Give a trial the processed data and records of its experiment, as hard links where the file system has them."""
    for source, target in (
        (data.processed_data, trial.experiment.processed_data),
        (data.tfrecords, trial.experiment.tfrecords),
    ):
        if not source.is_dir() or _same_files(source, target):
            continue
        with replacing_folder(target) as temporary:
            for file in source.iterdir():
                if file.is_file():
                    link_or_copy(file, temporary / file.name)


def _same_files(source: Path, target: Path) -> bool:
    files = [file for file in source.iterdir() if file.is_file()]
    return target.is_dir() and all(
        (target / file.name).is_file() and os.path.samestat(file.stat(), (target / file.name).stat()) for file in files
    )


def _status(trial: PastTrial) -> str:
    if trial.status:
        return trial.status
    last = trial.results[-1] if trial.results else {}
    return next((one for one in ("diverged", "failed") if last.get(one)), UNFINISHED)


def _as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    flat = [
        {name: value for name, value in row.items() if name != "config"}
        | {
            f"config/{name}": json.dumps(value) if isinstance(value, list | dict) else value
            for name, value in row["config"].items()
        }
        for row in rows
    ]
    columns = list(dict.fromkeys(name for row in flat for name in row)) or ["trial"]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return stream.getvalue()
