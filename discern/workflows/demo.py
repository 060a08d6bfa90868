"""``demo``: the whole job on real cells that ship with scanpy, judged by what was hidden from it."""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from anndata import AnnData
from scipy import sparse

from discern.errors import ExperimentError
from discern.evaluation.hidden_truth import cell_correlations, gene_correlations
from discern.evaluation.smoothing import smooth_over_neighbours
from discern.io.whole_files import write_json
from discern.io.writing import write_h5ad
from discern.keys import BATCH, CELLTYPE, ESTIMATED_COUNTS, LATENT, POSTERIOR_COUNTS
from discern.projection.targets import Target
from discern.umap_pictures import draw_umap, umap_coordinates
from discern.workflows.demo_data import DEEP, SHALLOW, DemoData, blood_cells, thin_half
from discern.workflows.experiment import read_experiments
from discern.workflows.process import process
from discern.workflows.project import project
from discern.workflows.train import train

_LOGGER = logging.getLogger(__name__)
_NAME = "demo"
_LIBRARY_SIZE = 1000


@dataclass(frozen=True)
class Recovery:
    """Agreement of one estimate with the counts that were taken away.

    Attributes:
        estimate: What was compared.
        gene_correlation: Mean over genes of the correlation over cells.
        cell_correlation: Mean over cells of the correlation over genes, gene means removed.
    """

    estimate: str
    gene_correlation: float
    cell_correlation: float


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration found and wrote.

    Attributes:
        recoveries: The data as it is, the baseline, and the reconstruction.
        pictures: UMAP before and after.
        projected: The reconstructed cells.
        seconds: Wall time.
    """

    recoveries: list[Recovery]
    pictures: list[Path]
    projected: Path
    seconds: float


def demo(out: Path, *, seed: int = 0, max_steps: int = 60) -> DemoResult:
    """Run process, train and project on thinned blood cells.

    Args:
        out: Folder of all files; an earlier demonstration there is replaced.
        seed: Drives the thinning and the training.
        max_steps: Epochs at most.

    Raises:
        ExperimentError: The folder holds something else.
    """
    start = time.monotonic()
    _prepare(out)
    data = thin_half(blood_cells(), seed=seed)
    write_h5ad(data.observed, out / "blood_cells.h5ad")
    parameters_file = out / "parameters.json"
    write_json(parameters_file, demo_parameters(out, seed, max_steps))
    experiment = read_experiments(parameters_file)[0]
    process(experiment)
    train(experiment)
    projected = project(experiment, [Target(BATCH, DEEP)])[0]
    reconstructed = anndata.read_h5ad(projected)
    recoveries = compare(data, reconstructed)
    write_json(out / "recovery.json", [asdict(recovery) for recovery in recoveries])
    pictures = draw(data.observed, reconstructed, out, seed)
    return DemoResult(recoveries, pictures, projected, time.monotonic() - start)


def demo_parameters(out: Path, seed: int, max_steps: int) -> dict[str, Any]:
    """Return an ordinary parameters file, sized for 700 cells."""
    return {
        "exp_param": {"experiments_dir": str(out / "experiments")},
        "experiments": {
            _NAME: {
                "input_ds": {
                    "raw_input": [str(out / "blood_cells.h5ad")],
                    "filtering": {"min_genes": 10, "min_cells": 3},
                    "scale": {"LSN": _LIBRARY_SIZE, "fixed_scaling": {"mean": "genes", "var": "genes"}},
                },
                "model": {
                    "latent_dim": 32,
                    "encoder": {"layers": [512, 256, 128], "regularization": 0.5},
                    "decoder": {"layers": [128, 256, 512], "regularization": 0.0},
                    "wae_lambda": 2500.0,
                    "crossentropy": {"lower_label_smoothing": 0.0},
                },
                "training": {
                    "batch_size": 64,
                    "max_steps": max_steps,
                    "optimizer": {"learning_rate": 0.002, "degenerated_to_sgd": False, "Lookahead": True},
                    "seed": seed,
                    "early_stopping": {"delay": 5, "patience": 20, "min_delta": 0.01},
                },
            }
        },
    }


def compare(data: DemoData, reconstructed: AnnData) -> list[Recovery]:
    """Compare the reconstruction and the baselines with the counts that were taken away."""
    shallow = (data.observed.obs[BATCH] == SHALLOW).to_numpy()
    names = data.observed.obs_names[shallow].intersection(reconstructed.obs_names)
    genes = reconstructed.var_names
    rows = data.observed.obs_names[shallow].get_indexer(names)
    truth = _log_expression(data.hidden[rows])[:, data.observed.var_names.get_indexer(genes)]
    found = reconstructed[names]
    as_it_is = found.raw[:, genes].X.toarray()
    estimates = {
        "as measured": as_it_is,
        "nearest-neighbour smoothing": smooth_over_neighbours(as_it_is),
        "DISCERN, zeros drawn (X)": found.X.toarray() if sparse.issparse(found.X) else np.asarray(found.X),
        "DISCERN (estimated_counts)": found.layers[ESTIMATED_COUNTS],
        "DISCERN (posterior_counts)": found.layers[POSTERIOR_COUNTS],
    }
    return [
        Recovery(
            name,
            round(float(np.nanmean(gene_correlations(estimate, truth))), 4),
            round(float(np.nanmean(cell_correlations(estimate, truth))), 4),
        )
        for name, estimate in estimates.items()
    ]


def draw(observed: AnnData, reconstructed: AnnData, out: Path, seed: int) -> list[Path]:
    """Draw UMAPs of the cells as measured and as reconstructed, by batch and by cell type."""
    before = observed[reconstructed.obs_names]
    obs = reconstructed.obs
    features = {
        "umap_before.png": ("as measured", _components(_log_expression(sparse.csr_matrix(before.X)))),
        "umap_after.png": ("all cells as if deep", _components(reconstructed.layers[ESTIMATED_COUNTS])),
        "umap_latent.png": ("latent space", reconstructed.obsm[LATENT]),
    }
    pictures = []
    for file, (title, points) in features.items():
        coordinates = umap_coordinates(points, seed)
        draw_umap(out / file, [(f"{title}, by {column}", coordinates, obs[column]) for column in (BATCH, CELLTYPE)])
        pictures.append(out / file)
    return pictures


def _prepare(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        if not (out / "blood_cells.h5ad").is_file():
            raise ExperimentError(
                f"{out} holds files that are no earlier demonstration. Give another folder: --out DIR."
            )
        shutil.rmtree(out / "experiments", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)


def _log_expression(counts: sparse.csr_matrix) -> np.ndarray:
    dense = counts.toarray()
    return np.log1p(dense * (_LIBRARY_SIZE / np.maximum(dense.sum(axis=1, keepdims=True), 1)))


def _components(expression: np.ndarray, n_components: int = 30) -> np.ndarray:
    left, singular_values, _ = np.linalg.svd(expression - expression.mean(axis=0), full_matrices=False)
    return left[:, :n_components] * singular_values[:n_components]


def as_table(recoveries: Sequence[Recovery]) -> str:
    """Return the comparison as aligned text."""
    lines = [f"{'correlation with the counts taken away':<40}{'per gene':>10}{'per cell':>10}"]
    lines += [f"{one.estimate:<40}{one.gene_correlation:>10.3f}{one.cell_correlation:>10.3f}" for one in recoveries]
    return "\n".join(lines)
