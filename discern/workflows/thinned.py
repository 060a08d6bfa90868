"""The sub-experiment of ``evaluate --thin``: counts are taken from half of the target's cells, and must be recovered."""

import copy
import json
import logging
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem
from scipy import sparse

from discern.config.loading import experiment_config
from discern.errors import DataError, counted
from discern.evaluation.shared_genes import left_out, shared_genes
from discern.evaluation.thinning import HIDDEN, thin_half_of_batch
from discern.io.experiment_folder import ExperimentFolder
from discern.io.json_files import read_json
from discern.io.matrix_rows import SelectedColumns, rows_at, rows_of
from discern.io.processed_annotation import read_annotation
from discern.io.processed_cells import open_own_cells
from discern.io.record_schema import genes_digest
from discern.io.whole_files import remove_folder, write_json
from discern.io.writing import write_h5ad
from discern.keys import BATCH, VALID
from discern.preprocessing.config import SplitConfig
from discern.preprocessing.splitting import draw_for_mmd, split_cells
from discern.workflows.experiment import Experiment
from discern.workflows.process import process
from discern.workflows.provenance import run_recorded
from discern.workflows.train import train

_FOLDER = "thinned"
_COUNTS_FILE = "thinned_counts.h5ad"
_SETTINGS_FILE = "thinned.json"
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Thinned:
    """A trained sub-experiment.

    Attributes:
        experiment: The sub-experiment.
        batch: Name of the batch of the thinned cells.
        counts_file: Its raw input; ``layers["hidden"]`` holds what was taken away.
    """

    experiment: Experiment
    batch: str
    counts_file: Path

    def hidden(self, cells: pd.Index, genes: pd.Index) -> sparse.csr_matrix:
        """Return the counts that were taken away from these cells, (n_cells, n_genes); no others are read."""
        with h5py.File(self.counts_file, "r") as file:
            rows, columns = _names(file["obs"]).get_indexer(cells), _names(file["var"]).get_indexer(genes)
            return rows_at(SelectedColumns(rows_of(file["layers"][HIDDEN]), columns), rows)


def _names(table: h5py.Group) -> pd.Index:
    return pd.Index(read_elem(table[table.attrs["_index"]]))


def train_thinned(
    experiment: Experiment, target: str, keep: float, keep_column: str | None, gpus: list[int] | None = None
) -> Thinned:
    """Thin a random half of the target batch's cells, process and train with the parameters of the experiment.

    The folder is ``evaluation/thinned``. Called again with the same data and settings, work goes on where it stopped.
    The filter of cells is not applied again: thinned cells would not pass it. Genes that not all data sets measured are
    left out.

    Args:
        experiment: A processed experiment.
        target: The target batch.
        keep: Probability to keep a count.
        keep_column: obs column of labels that the sub-experiment keeps; the model does not see it.
        gpus: GPUs to use in place of the configured ones.

    Raises:
        DataError: The target does not occur or has fewer than two cells, its counts are no whole numbers, or the data
            sets share no gene.
    """
    folder = ExperimentFolder(experiment.folder.evaluation / _FOLDER)
    batch = _unused_name(target, read_annotation(experiment.folder.processed_file).batches)
    found = Thinned(_sub_experiment(experiment, folder), batch, folder.path / _COUNTS_FILE)
    settings = _settings(experiment, found.experiment, target, keep, keep_column)
    settings_file = folder.path / _SETTINGS_FILE
    if not settings_file.is_file() or read_json(settings_file) != settings:
        remove_folder(folder.path)
        _write_counts(experiment, found, target, keep, keep_column)
        write_json(settings_file, settings)
    if not folder.processed_file.is_file():
        run_recorded("process", found.experiment, process, {})
    run_recorded("train", found.experiment, train, {"gpus": gpus})
    return found


def require_halves(batches: np.ndarray, target: str, thin: float, split: SplitConfig) -> None:
    """Refuse to thin half of a batch when training or validation cells of a half would be missing.

    Args:
        batches: The batch of every cell, (n_cells,).
        target: The batch to thin half of.
        thin: Probability to keep a count.
        split: How the sub-experiment is split.

    Raises:
        DataError: They would be missing.
    """
    of_target = np.flatnonzero(batches == target)
    if len(of_target) < 2:
        return  # refused for this, whether or not counts are thinned
    halves = batches.astype(object)
    halves[of_target[: len(of_target) // 2]] = _unused_name(target, list(set(batches)))
    codes, names = pd.factorize(halves)
    rng = np.random.default_rng(0)
    try:
        roles = split_cells(rng, codes, names, split)
        draw_for_mmd(rng, split.mmd_cells, roles == VALID, codes)
    except DataError as error:
        raise DataError(
            f"--thin {thin:g} makes two batches of the {len(of_target)} cells of '{target}', which cannot be split: {error} "
            "Evaluate without --thin, give a larger batch with --target, or change input_ds.split, then process and train "
            "anew."
        ) from error


def _unused_name(target: str, batches: list[str]) -> str:
    name = f"{target} (thinned)"
    while name in batches:
        name += "*"
    return name


def _sub_experiment(experiment: Experiment, folder: ExperimentFolder) -> Experiment:
    content = copy.deepcopy(experiment.content)
    content.pop("hyperparameter_search", None)
    input_ds = content.setdefault("input_ds", {})
    input_ds["raw_input"] = [str((folder.path / _COUNTS_FILE).absolute())]
    input_ds["filtering"] = {**input_ds.get("filtering", {}), "min_genes": 1}
    config = experiment_config(content, source=f"experiment {experiment.name}, thinned")
    return replace(
        experiment,
        name=folder.name,
        folder=folder,
        config=config,
        content=content,
        parameters_file=folder.parameters_file,
    )


def _settings(
    experiment: Experiment, thinned: Experiment, target: str, keep: float, keep_column: str | None
) -> dict[str, Any]:
    known = read_annotation(experiment.folder.processed_file)
    with open_own_cells(experiment.folder, experiment.config.training.batch_size) as cells:
        shared = shared_genes(cells, np.arange(cells.n_obs))
        return {
            "target": target,
            "keep": keep,
            "labels": keep_column,
            "labels_sha256": None if keep_column is None else _text_digest(cells.obs[keep_column]),
            "seed": experiment.config.training.seed,
            "cells_sha256": known.cells_sha256,
            "genes_sha256": genes_digest(cells.var_names[shared]),
            "parameters": thinned.content,
        }


def _text_digest(labels: pd.Series) -> str:
    return sha256(json.dumps(list(labels.astype(str))).encode()).hexdigest()


def _write_counts(experiment: Experiment, thinned: Thinned, target: str, keep: float, keep_column: str | None) -> None:
    """Write the raw input of the sub-experiment; it cannot tell unmeasured genes from zeros, so they are left out."""
    with open_own_cells(experiment.folder, experiment.config.training.batch_size) as all_genes:
        everywhere = np.arange(all_genes.n_obs)
        shared = shared_genes(all_genes, everywhere)
        if note := left_out(all_genes, everywhere, shared):
            _LOGGER.info("In the sub-experiment %s", note)
        cells = all_genes if shared.all() else all_genes.with_genes(all_genes.var_names[shared])
        batches = cells.obs[BATCH].astype(str).to_numpy()
        n_of_target = int((batches == target).sum())
        if n_of_target < 2:
            raise DataError(
                f"'{target}' has {counted(n_of_target, 'cell')}; to thin half of them takes two. Found: "
                f"{', '.join(cells.batches[:20])}. Give one of these with --target."
            )
        obs = pd.DataFrame(index=cells.obs.index)
        if keep_column is not None:
            obs[keep_column] = cells.obs[keep_column].astype(str).astype("category")
        counts = AnnData(cells.counts[slice(0, cells.n_obs)], obs=obs, var=pd.DataFrame(index=cells.var_names))
    rng = np.random.default_rng(experiment.config.training.seed)
    write_h5ad(thin_half_of_batch(counts, batches, target, thinned.batch, keep, rng), thinned.counts_file)
