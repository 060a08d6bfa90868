"""Every step of an experiment leaves a record of how it was made, also when it failed."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from discern.available_cpus import available_cpus
from discern.errors import ExperimentInUseError, StoppedBySignalError
from discern.io.file_digests import FileDigests
from discern.io.provenance import append_step, command_line, hashed_files, peak_memory, plain, processor, versions
from discern.workflows.experiment import Experiment

_LOGGER = logging.getLogger(__name__)


def run_recorded(step: str, experiment: Experiment, work: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Return ``work(experiment, **arguments)`` and add how it went to the provenance.json of the experiment's folder.

    Inputs are hashed by a thread meanwhile; a step that fails does not wait for it. No folder is made for the record,
    and a record that cannot be written is a warning.

    Args:
        step: Name of the step: a command.
        experiment: What is worked on.
        work: What is run.
        arguments: Its further arguments.
    """
    path = experiment.folder.provenance
    started, clock = datetime.now(UTC), time.perf_counter()
    with FileDigests(_inputs(step, experiment, arguments), hashed_files(path)) as digests:
        entry = _beginning(step, started, experiment, arguments)
        try:
            result = work(experiment, **arguments)
        except ExperimentInUseError:
            raise  # the record belongs to who is at work there
        except BaseException as error:
            outcome = "interrupted" if isinstance(error, KeyboardInterrupt | StoppedBySignalError) else "failed"
            fault = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            _record(path, entry | _end(clock, digests) | {"outcome": outcome, "error": fault})
            raise
        seconds = time.perf_counter() - clock
        digests.wait()
        _record(path, entry | _end(clock, digests) | {"wall_s": round(seconds, 3), "result": plain(result)})
    return result


def _beginning(step: str, started: datetime, experiment: Experiment, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "step": step,
        "outcome": "finished",
        "started": started.isoformat(timespec="microseconds"),
        "wall_s": None,
        "command": command_line(),
        "arguments": plain(arguments),
        "seeds": _seeds(step, experiment),
        "parameters_file": str(experiment.parameters_file.absolute()),
        "parameters": experiment.content,
        "versions": versions(),
    }


def _end(clock: float, digests: FileDigests) -> dict[str, Any]:
    return {
        "wall_s": round(time.perf_counter() - clock, 3),
        "device": {"processor": processor(), "cpus": available_cpus(), "gpus": _gpus()},
        "peak_memory_bytes": peak_memory(),
        "inputs": [dict(one) for one in digests.descriptions],
        "hashing_s": round(digests.seconds, 3),
    }


def _seeds(step: str, experiment: Experiment) -> dict[str, int]:
    config = experiment.config
    seeds = {
        "input_ds.split.split_seed": config.input_ds.split.split_seed,
        "training.seed": config.training.seed,
    }
    if step in {"undo", "import"}:
        return {}
    unused = {"process": "training.seed", "train": "input_ds.split.split_seed", "project": "input_ds.split.split_seed"}
    return {name: seed for name, seed in seeds.items() if name != unused.get(step)}


def _inputs(step: str, experiment: Experiment, arguments: Mapping[str, Any]) -> list[Path]:
    """Return what a step reads; a file that an argument names takes the place of the experiment's own."""
    folder, files = experiment.folder, _named_files(arguments.get("filename"))
    if step == "process":
        return list(experiment.input_paths())
    if step == "train":
        return [folder.processed_file, arguments.get("tfrecords") or folder.tfrecords, folder.last_state]
    if step == "optimize":
        return [folder.processed_file, folder.tfrecords]
    if step in {"undo", "import"}:
        return files
    if step == "project":
        return [folder.best_model, *(files or [folder.processed_file])]
    return [folder.best_model, folder.processed_file, *files]


def _named_files(named: Path | Iterable[Path] | None) -> list[Path]:
    return [] if named is None else [named] if isinstance(named, str | Path) else list(named)


def _gpus() -> list[str]:
    if "tensorflow" not in sys.modules:
        return []
    from discern.training.devices import gpu_names

    return gpu_names()


def _record(path: Path, entry: Mapping[str, Any]) -> None:
    if not path.parent.is_dir():
        return
    try:
        append_step(path, entry)
    except OSError as error:
        _LOGGER.warning("How this was made could not be recorded in %s: %s", path, error)
