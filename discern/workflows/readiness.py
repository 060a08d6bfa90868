"""Whether a verb can begin, told from its arguments and from which files there are: no refusal shall wait for TensorFlow."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from discern.errors import DataError, DiscernError, ExperimentError
from discern.io.reading import explain_absent
from discern.workflows.experiment import Experiment
from discern.workflows.working_alone import working_alone

_NEEDS_A_MODEL = {"project": "project", "evaluate": "evaluate", "onlinetraining": "train online"}
_NEEDS_PROCESSED_DATA = {"train", "evaluate"}


def require_ready(experiment: Experiment, verb: str, **arguments: Any) -> None:
    """Refuse to begin what cannot be done.

    Args:
        experiment: What is worked on.
        verb: The command.
        **arguments: Its further arguments.

    Raises:
        ExperimentError: The experiment was not processed, or not trained.
        DataError: A file does not exist, or arguments exclude each other.
    """
    fault = why_not(experiment, verb, arguments)
    if fault is not None:
        raise fault


def refuse_unready(experiment: Experiment, verb: str, arguments: Mapping[str, Any]) -> None:
    """Refuse as :func:`require_ready` does, before a verb is imported; first wait for what another process changes."""
    if why_not(experiment, verb, arguments) is not None:
        working_alone(verb)(require_ready)(experiment, verb, **arguments)


def why_not(experiment: Experiment, verb: str, arguments: Mapping[str, Any]) -> DiscernError | None:
    """Return why a verb cannot begin; None when nothing speaks against it. Arguments as of :func:`require_ready`."""
    folder = experiment.folder
    processed = folder.processed_file.is_file()
    content = arguments.get("content")
    if content is not None and content.latent_only and (arguments.get("targets") or arguments.get("all_batches")):
        return DataError(
            "Latent codes are the same for every target, so with --latent-only there is none: leave out --metadata and "
            "--all-batches."
        )
    if verb in _NEEDS_A_MODEL and not folder.best_model.is_file():
        return ExperimentError(
            f"Cannot {_NEEDS_A_MODEL[verb]}: {folder.path} has no trained model. "
            f"Run `discern {'train' if processed else 'process'} {experiment.parameters_file}` first."
        )
    if verb in _NEEDS_PROCESSED_DATA and not processed:
        return ExperimentError(f"{folder.processed_file} does not exist. Run `discern process` first.")
    absent = [path for path in _paths(arguments.get("filename")) if not path.exists()]
    return DataError(explain_absent(absent[0])) if absent else None


def _paths(named: Path | Iterable[Path] | None) -> list[Path]:
    return [] if named is None else [Path(one) for one in ([named] if isinstance(named, str | Path) else named)]
