"""A processed experiment of 160 small cells, and searches of it; shared by the tests of trials, runs and results."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.tuning.config import search_config
from discern.tuning.search_folder import SearchFolder
from discern.workflows.experiment import read_experiments
from discern.workflows.optimize import _description
from discern.workflows.process import process

EXPERIMENT = {
    "input_ds": {
        "raw_input": ["cells.h5ad"],
        "filtering": {"min_genes": 5, "min_cells": 3},
        "scale": {"LSN": 1000, "fixed_scaling": {"mean": "genes", "var": "genes"}},
        "split": {"valid_cells": 0.3},
        "n_cpus_preprocessing": 1,
    },
    "model": {"latent_dim": 2, "encoder": {"layers": [8]}, "decoder": {"layers": [8]}},
    "training": {"batch_size": 32, "max_steps": 6, "GPU": [], "parallel_pc": 1, "XLA": False},
}
SEARCH = {
    "scheduler": "FIFO",
    "searcher": "random",
    "train_spec": {"num_samples": 2, "config": {"epochs_per_timestep": 2}},
    "search_space": {
        "training": {"optimizer": {"learning_rate": {"type": "loguniform", "name": "rate", "args": [-4, -2]}}},
        "model": {"latent_dim": {"type": "choice", "name": "latent", "args": [[2, 3]]}},
    },
    "analysis": {"metric": "mmd"},
}


def write_experiment(folder):
    """Write raw counts of two batches and a parameters file; return its path."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0 + rng.gamma(2.0, 1.0, 60) * rng.uniform(0.5, 2.0, (160, 1)))
    obs = pd.DataFrame(
        {"batch": pd.Categorical(np.where(np.arange(160) % 2, "good", "poor"))}, index=[f"cell{n}" for n in range(160)]
    )
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(60)])
    AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs, var).write_h5ad(folder / "cells.h5ad")
    content = copy.deepcopy(EXPERIMENT)
    content["input_ds"]["raw_input"] = [str(folder / "cells.h5ad")]
    path = folder / "parameters.json"
    path.write_text(
        json.dumps({"exp_param": {"experiments_dir": str(folder / "exps")}, "experiments": {"run": content}})
    )
    return path


@pytest.fixture(scope="session")
def processed(tmp_path_factory):
    """The processed experiment; not to be changed."""
    experiment = read_experiments(write_experiment(tmp_path_factory.mktemp("processed")))[0]
    process(experiment)
    return experiment


@pytest.fixture(scope="module")
def search_of(processed, tmp_path_factory):
    """A function that begins a search of the processed experiment in a folder of its own, and returns its folder."""

    def build(name="optimize", **changes):
        content = copy.deepcopy(SEARCH)
        for section, values in changes.items():
            content[section] = {**content[section], **values} if isinstance(content[section], dict) else values
        folder = SearchFolder(tmp_path_factory.mktemp(name))
        folder.write_description(_description(processed, search_config(content), seed=0))
        return folder

    return build
