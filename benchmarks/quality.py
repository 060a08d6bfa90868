"""How well models of several parameter files reconstruct, on the measures of `discern evaluate`, with several seeds.

    python -m benchmarks.quality FOLDER DATA.h5ad --target deep_batch --labels celltype \
        --parameters parameters.published.json parameters.json --seeds 0 1 2

A random half of the target's cells is thinned once and becomes a batch of its own, so that one training gives both kinds
of measures: thinned cells against the counts that were taken from them, and cells of the other batches against real cells
of the target. Every parameter file is trained on these cells with every seed; what an earlier run made is used again.
settings.json tells what that was made of; more seeds and parameter files can be added, all else needs another folder.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

from benchmarks.measuring import machine, measure
from discern.errors import ExperimentError, ParametersError, counted
from discern.evaluation.comparison import Settings, compare_with_hidden, compare_with_reference
from discern.evaluation.findings import Findings
from discern.evaluation.measures import INTEGRATION_LATENT, MEASURES, Measure
from discern.evaluation.measures_table import RECONSTRUCTED, judged_method
from discern.evaluation.methods import POSTERIOR
from discern.evaluation.table import Evaluation, read_evaluation
from discern.evaluation.thinning import thin_half_of_batch
from discern.io.file_digests import file_sha256
from discern.io.json_files import read_json
from discern.io.processed_cells import open_own_cells
from discern.io.whole_files import replacing_file, write_json
from discern.keys import BATCH
from discern.workflows.count_prior import count_prior_of
from discern.workflows.experiment import Experiment, read_experiments
from discern.workflows.project import trained_family
from discern.workflows.thinned import Thinned

_NAME = "experiment"


class Comparison:
    """The models of one data set."""

    def __init__(self, arguments: argparse.Namespace):
        """Write the input that all models are trained on.

        Raises:
            ParametersError: Two parameter files have the same name.
            ExperimentError: The folder was made with other settings.
        """
        self.folder: Path = arguments.folder
        self.target: str = arguments.target
        self.labels: str = arguments.labels
        self.threads: int = arguments.threads
        self.input = self.folder / "cells.h5ad"
        self.folder.mkdir(parents=True, exist_ok=True)
        check_settings(self.folder / "settings.json", settings_of(arguments))
        if not self.input.exists():
            cells = anndata.read_h5ad(arguments.data)
            thinned = thinned_input(cells, self.target, self.labels, arguments.keep, arguments.cells)
            with replacing_file(self.input) as temporary:
                thinned.write_h5ad(temporary)

    def run(self, parameters: Path, seed: int) -> Evaluation:
        """Train with one parameter file and seed, and score."""
        folder = self.folder / parameters.stem / f"seed_{seed}"
        if not (folder / "metrics.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            own = folder / "parameters.json"
            own.write_text(json.dumps(self._content(parameters, folder, seed)), encoding="utf-8")
            experiment = read_experiments(own)[0]
            begun = experiment.folder.processed_file.is_file()  # by a run that was interrupted
            for verb in ("train",) if begun else ("process", "train"):
                command = [sys.executable, "-m", "discern", verb, str(own)]
                seconds = measure(command, folder / _NAME, folder / f"{verb}.log").seconds
            self._score(experiment, None if begun else seconds).write(folder)
        return read_evaluation(folder / "metrics.json")

    def _content(self, parameters: Path, folder: Path, seed: int) -> dict:
        content = json.loads(parameters.read_text(encoding="utf-8"))
        (experiment,) = content["experiments"].values()
        experiment["input_ds"]["raw_input"] = [str(self.input.absolute())]
        experiment["input_ds"]["filtering"]["min_genes"] = 1  # else thinned cells go
        experiment["training"] |= {"seed": seed, "GPU": [], "parallel_pc": self.threads}
        return {"exp_param": {"experiments_dir": str(folder.absolute())}, "experiments": {_NAME: experiment}}

    def _score(self, experiment: Experiment, seconds: float | None) -> Evaluation:
        findings = Findings(facts={"training_seconds": seconds})
        with open_own_cells(experiment.folder, experiment.config.training.batch_size) as cells:
            family = trained_family(experiment)
            prior = count_prior_of(experiment, family, cells)
            settings = Settings(self.target, self.labels, 10_000, 0, prior=prior)
            compare_with_reference(family, cells, settings, findings)
            thinned = Thinned(experiment, thinned_name(self.target), self.input)
            compare_with_hidden(family, cells, thinned.batch, thinned.hidden, settings, findings)
        return findings.evaluation()


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the results of a folder follow from.

    Raises:
        ParametersError: Two parameter files have the same name.
    """
    names = [parameters.stem for parameters in arguments.parameters]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ParametersError(
            f"Folders and columns are named by parameter files, and {counted(len(twice), 'name')} of --parameters "
            f"{'is' if len(twice) == 1 else 'are'} there more than once: {', '.join(twice)}. Give each file a name of its own."
        )
    return {
        "target": arguments.target,
        "labels": arguments.labels,
        "keep": arguments.keep,
        "cells": arguments.cells,
        "data_sha256": file_sha256(arguments.data),
        "parameters_sha256": {parameters.stem: file_sha256(parameters) for parameters in arguments.parameters},
    }


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder that was made with other settings, else record them; parameter files may come or be left out.

    Args:
        path: The file with the settings of the folder; a folder without it is taken as it is.
        settings: What is asked for; see :func:`settings_of`.

    Raises:
        ExperimentError: A setting differs.
    """
    of_files = "parameters_sha256"
    before = read_json(path) if path.exists() else {**settings}
    differing = [
        f"{name} ({before.get(name)!r} before, {value!r} now)"
        for name, value in settings.items()
        if name != of_files and before.get(name) != value
    ]
    known = before.get(of_files, {})
    differing += [
        f"the content of {name}.json" for name, now in settings[of_files].items() if known.get(name, now) != now
    ]
    if differing:
        raise ExperimentError(
            f"{path.parent} was made with other settings: {'; '.join(differing)}. Give another folder, or remove this one."
        )
    write_json(path, {**settings, of_files: known | settings[of_files]})


def thinned_name(target: str) -> str:
    """Return the batch of the thinned cells."""
    return f"{target} (thinned)"


def thinned_input(cells: AnnData, target: str, labels: str, keep: float, n_cells: int | None) -> AnnData:
    """Return cells of which half of the target's are thinned and of a batch of their own; ``hidden`` is what was taken.

    Args:
        cells: Raw counts, obs["batch"] and labels.
        target: The batch to thin half of.
        labels: obs column that is kept.
        keep: Probability to keep a count.
        n_cells: Take a random sample of so many cells first.
    """
    rng = np.random.default_rng(0)
    if n_cells is not None and n_cells < cells.n_obs:
        cells = cells[np.sort(rng.choice(cells.n_obs, n_cells, replace=False))]
    batches = cells.obs[BATCH].astype(str).to_numpy()
    kept = AnnData(cells.X, obs=cells.obs[[labels]].astype(str).astype("category"), var=cells.var[[]])
    return thin_half_of_batch(kept, batches, target, thinned_name(target), keep, rng)


def value_of(evaluation: Evaluation, one: Measure, method: str = RECONSTRUCTED) -> float:
    """Return a measure of the model's estimate; NaN where it does not apply.

    Args:
        evaluation: One evaluation.
        one: The measure.
        method: Which of the model's estimates counts, where a measure does not decide that itself.
    """
    judged = judged_method(evaluation, one)
    if judged != RECONSTRUCTED or one.group == INTEGRATION_LATENT:
        method = judged
    value = evaluation.value(method, one.name)
    return float("nan") if value is None else value


def table(
    found: Mapping[str, Sequence[Evaluation]], method: str = RECONSTRUCTED, first_method: str | None = None
) -> pd.DataFrame:
    """Return mean and spread (largest minus smallest) over seeds of every measure, and which parameters are better.

    Worse is what is worse by more than the larger of the two spreads. How bad a value is counts for each seed, so that
    errors in opposite directions do not make a good mean. The table is empty when no measure is finite everywhere.

    Args:
        found: Evaluations of several seeds by the name of the parameters; the first is compared with.
        method: Which of the model's estimates counts.
        first_method: Which one of the first parameters; the same when None.
    """
    methods = dict.fromkeys(found, method) | {next(iter(found)): first_method or method}
    rows = []
    for one in MEASURES.values():
        values = {
            parameters: np.array([value_of(evaluation, one, methods[parameters]) for evaluation in evaluations])
            for parameters, evaluations in found.items()
        }
        if not all(np.isfinite(of_seeds).all() for of_seeds in values.values()):
            continue
        first, *others = values
        row = {"measure": one.name, "better": one.better}
        for parameters, of_seeds in values.items():
            row |= {parameters: of_seeds.mean(), f"spread {parameters}": np.ptp(of_seeds)}
        for other in others:
            gain = mean_badness(one, values[first]) - mean_badness(one, values[other])
            spread = max(np.ptp(values[first]), np.ptp(values[other]))
            row[f"{other} is"] = "better" if gain > 0 else "as good" if -gain <= spread else "worse"
        rows.append(row)
    columns = None if rows else ["measure", "better", *(name for one in found for name in (one, f"spread {one}"))]
    return pd.DataFrame(rows, columns=columns).set_index("measure")


def mean_badness(one: Measure, of_seeds: np.ndarray) -> float:
    """Return how far the values of several seeds, (n_seeds,), are from good on average; smaller is better."""
    return float(np.mean([one.badness(value) for value in of_seeds]))


def summary(rows: pd.DataFrame) -> str:
    """Return in words how often the other parameters of a :func:`table` are better than the first, and where they are worse."""
    if rows.empty:
        return "no measure has a finite value for all parameters and seeds"
    told = []
    for column in (name for name in rows if name.endswith(" is")):
        counts = rows[column].value_counts()
        worse = ", ".join(rows.index[rows[column] == "worse"]) or "none"
        told.append(f"{column} better on {counts.get('better', 0)} of {len(rows)} measures, worse on {worse}")
    return "; ".join(told)


def main() -> None:
    """Train and score everything; print a table for each of the model's estimates and write it as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="working folder")
    parser.add_argument("data", type=Path, help="h5ad with raw counts, obs['batch'] and labels")
    parser.add_argument("--target", required=True, help="batch to decode into; half of its cells are thinned")
    parser.add_argument("--labels", default="celltype", help="column of obs with cell types, for scoring only")
    parser.add_argument("--parameters", type=Path, nargs="+", required=True, help="files with one experiment each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--keep", type=float, default=0.2, help="probability to keep a count of a thinned cell")
    parser.add_argument("--cells", type=int, help="random sample of the cells")
    parser.add_argument("--threads", type=int, default=0, help="threads of training; 0 takes all")
    arguments = parser.parse_args()
    try:
        comparison = Comparison(arguments)
    except (ParametersError, ExperimentError) as error:
        parser.error(str(error))
    found: dict[str, list[Evaluation]] = {parameters.stem: [] for parameters in arguments.parameters}
    for seed in arguments.seeds:
        for parameters in arguments.parameters:
            found[parameters.stem].append(comparison.run(parameters, seed))
    one = next(iter(found.values()))[0]
    estimates = [method.name for method in one.methods if method.role == "estimate"]
    pairs = [(method, method) for method in estimates]
    if POSTERIOR.name in estimates:
        pairs.append((RECONSTRUCTED, POSTERIOR.name))
    for first, method in pairs:
        rows = table(found, method, first)
        name = method if first == method else f"{method} against {first}"
        print(f"\n{name}: {summary(rows)}\n{rows.round(4).to_string()}")
        rows.to_csv(arguments.folder / f"quality {name}.csv")
    (arguments.folder / "machine.json").write_text(json.dumps(machine(), indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
