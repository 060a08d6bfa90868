"""``evaluate``: measure the reconstruction of a trained experiment against the truth and against honest baselines."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from discern import __version__
from discern.errors import DataError, NoCountPriorError
from discern.evaluation.comparison import Settings, compare_with_hidden, compare_with_reference
from discern.evaluation.findings import Findings
from discern.evaluation.other_estimates import OtherEstimate, check_names
from discern.evaluation.report import Record, report_page
from discern.evaluation.sampling import deepest_batch
from discern.evaluation.shown_cells import shown_cells
from discern.io.processed_cells import ProcessedCells, open_own_cells
from discern.io.provenance import read_steps
from discern.io.whole_files import write_text
from discern.keys import BATCH, CELLTYPE
from discern.models.contract import ModelFamily
from discern.plotting.losses import loss_table
from discern.plotting.zero_calibration import write_calibration
from discern.plotting.zeros import ZEROS_FILE
from discern.projection.count_prior import CountPrior
from discern.training.devices import set_gpu_and_threads
from discern.workflows.count_prior import count_prior_of
from discern.workflows.experiment import Experiment
from discern.workflows.project import require_own_data, trained_family
from discern.workflows.readiness import require_ready
from discern.workflows.thinned import require_halves, train_thinned
from discern.workflows.working_alone import working_alone

DEFAULT_CELLS = 10_000
REPORT_FILE = "report.html"
_LOGGER = logging.getLogger(__name__)


@working_alone("evaluate")
def evaluate(
    experiment: Experiment,
    *,
    target: str | None = None,
    labels: str | None = None,
    thin: float | None = None,
    compare: Sequence[OtherEstimate] = (),
    n_cells: int = DEFAULT_CELLS,
    report: bool = True,
    gpus: list[int] | None = None,
) -> list[Path]:
    """Score the reconstruction of a trained experiment.

    Writes ``evaluation/metrics.json``, ``metrics.csv`` and, unless it is not wanted, ``zeros.csv`` and ``report.html``;
    those of an earlier evaluation go when the metrics are replaced.

    Args:
        experiment: A trained experiment.
        target: The batch that cells are decoded into; the one with the largest median library size when None.
        labels: obs column of cell types; ``celltype``, if there is one, when None. Training never sees it.
        thin: Also train a sub-experiment in which counts of half of the target's cells are kept with this probability.
        compare: Estimates that other tools made of the same cells.
        n_cells: Cells to look at, at most.
        report: Write the report.
        gpus: GPUs to use in place of the configured ones.

    Returns:
        The files that were written.

    Raises:
        ExperimentError: There is no trained model, or the processed data are not those it was trained on.
        DataError: Target or labels do not occur, there are too few cells, also for ``thin``, or a file to compare with
            cannot be used.
    """
    training = experiment.config.training
    set_gpu_and_threads(training.parallel_pc, training.GPU if gpus is None else gpus, training.deterministic)
    require_ready(experiment, "evaluate")
    check_names(compare)
    findings = Findings()
    with open_own_cells(experiment.folder, training.batch_size) as cells:
        target = target or deepest_batch(cells.obs[BATCH].astype(str).to_numpy(), cells.library_size)
        labels = _label_column(cells.obs, labels, findings)
        if thin is not None:
            require_halves(cells.obs[BATCH].astype(str).to_numpy(), target, thin, experiment.config.input_ds.split)
        settings = Settings(target, labels, n_cells, training.seed, compare)
        findings.facts = {
            "version": __version__,
            "experiment": experiment.name,
            "target": target,
            "labels": labels,
            "thin": thin,
            "seed": training.seed,
        }
        has_others = len(cells.batches) > 1
        if thin is None or has_others:
            family = trained_family(experiment)
            require_own_data(experiment, family, cells)
            settings = replace(settings, prior=_prior_of(experiment, family, cells, findings))
            compare_with_reference(family, cells, settings, findings)
        else:
            findings.note("There is one batch only: nothing is compared with a reference batch.")
    shown = experiment
    if thin is not None:
        thinned = _compare_thinned(experiment, thin, replace(settings, others=()), findings, gpus)
        shown = experiment if has_others else thinned
    paths = findings.evaluation().write(experiment.folder.evaluation)
    for older in (REPORT_FILE, ZEROS_FILE):  # of other metrics
        (experiment.folder.evaluation / older).unlink(missing_ok=True)
    return [*paths, *_write_report(experiment, shown, settings, findings)] if report else paths


def _write_report(experiment: Experiment, shown: Experiment, settings: Settings, findings: Findings) -> list[Path]:
    """Write the calibration of zeros and the report.

    Args:
        experiment: What was evaluated.
        shown: The experiment whose cells are shown: the one with thinned cells where there is one batch only.
        settings: What was compared.
        findings: What was found.
    """
    _LOGGER.info("Drawing the report")
    with open_own_cells(shown.folder, shown.config.training.batch_size) as cells:
        sample = shown_cells(trained_family(shown), cells, settings.target, settings.labels, settings.seed)
    folder = experiment.folder
    paths = [folder.evaluation / ZEROS_FILE, folder.evaluation / REPORT_FILE]
    if sample.decoding.calibration is None:
        paths.pop(0)
    else:
        write_calibration(paths[0], sample.decoding.calibration)
    history = loss_table(folder) if folder.history.is_file() else None
    record = Record(read_steps(folder.provenance) or [], history)
    write_text(paths[-1], report_page(findings.evaluation(), sample, record))
    return paths


def _compare_thinned(
    experiment: Experiment, thin: float, settings: Settings, findings: Findings, gpus: list[int] | None
) -> Experiment:
    thinned = train_thinned(experiment, settings.target, thin, settings.labels, gpus)
    family = trained_family(thinned.experiment)
    with open_own_cells(thinned.experiment.folder, thinned.experiment.config.training.batch_size) as cells:
        settings = replace(settings, prior=_prior_of(thinned.experiment, family, cells, findings))
        compare_with_hidden(family, cells, thinned.batch, thinned.hidden, settings, findings)
    return thinned.experiment


def _prior_of(
    experiment: Experiment, family: ModelFamily, cells: ProcessedCells, findings: Findings
) -> CountPrior | None:
    try:
        return count_prior_of(experiment, family, cells)
    except NoCountPriorError as error:
        findings.note(str(error))
        return None


def _label_column(obs: pd.DataFrame, labels: str | None, findings: Findings) -> str | None:
    if labels is None and CELLTYPE not in obs:
        findings.note("No cell types are known: rows by type are left out. Name their column with --labels.")
        return None
    if labels is not None and labels not in obs:
        raise DataError(
            f"Column '{labels}' is missing from obs. Found: {', '.join(map(str, obs.columns))}. "
            "Name one of these with --labels, or none."
        )
    return labels or CELLTYPE
