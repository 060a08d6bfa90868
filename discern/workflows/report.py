"""``report``: evaluated experiments side by side on one page."""

from collections.abc import Sequence
from pathlib import Path

from discern.errors import ExperimentError
from discern.evaluation.comparison_report import comparison_page
from discern.evaluation.table import Evaluation, read_evaluation
from discern.io.experiment_folder import ExperimentFolder
from discern.io.whole_files import write_text
from discern.workflows.experiment import read_experiments

METRICS_FILE = "metrics.json"


def report(sources: Sequence[Path], out: Path) -> Path:
    """Write a page that compares experiments by their evaluations.

    Args:
        sources: Parameters files, of which all experiments are shown, or folders of experiments.
        out: The HTML file.

    Returns:
        ``out``.

    Raises:
        ExperimentError: An experiment was not evaluated, or is named twice.
        ParametersError: A parameters file is invalid.
    """
    folders = [folder for source in sources for folder in _folders(source)]
    paths = [folder.path.resolve() for folder in folders]
    twice = sorted({str(path) for path in paths if paths.count(path) > 1})
    if twice:
        raise ExperimentError(f"{', '.join(twice)} is named twice. Name every experiment once.")
    missing = [str(folder.path) for folder in folders if not (folder.evaluation / METRICS_FILE).is_file()]
    if missing:
        raise ExperimentError(f"Not evaluated: {', '.join(missing)}. Run `discern evaluate` for each first.")
    write_text(out, comparison_page(_named(folders)))
    return out


def _folders(source: Path) -> list[ExperimentFolder]:
    if source.is_dir():
        return [ExperimentFolder(source)]
    return [one.folder for one in read_experiments(source)]


def _named(folders: Sequence[ExperimentFolder]) -> dict[str, Evaluation]:
    """Return evaluations by the shortest end of their folder's path that no other has."""
    parts = [folder.path.resolve().parts for folder in folders]
    longest = max(map(len, parts))
    for length in range(1, longest + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            break
    return {
        name: read_evaluation(folder.evaluation / METRICS_FILE) for name, folder in zip(names, folders, strict=True)
    }
