import copy
import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.workflows.experiment import read_experiments

EXPERIMENT = {
    "input_ds": {
        "raw_input": ["cells.h5ad"],
        "filtering": {"min_genes": 5, "min_cells": 3},
        "scale": {"LSN": 1000, "fixed_scaling": {"mean": "genes", "var": "genes"}},
        "n_cpus_preprocessing": 1,
    },
    "model": {"latent_dim": 2, "encoder": {"layers": [8]}, "decoder": {"layers": [8]}},
    "training": {"batch_size": 32, "max_steps": 1, "GPU": [], "parallel_pc": 0, "XLA": False},
}


def _counts(n_cells=80, n_genes=60, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1.0 + rng.gamma(2.0, 1.0, n_genes) * rng.uniform(0.5, 2.0, (n_cells, 1)))
    obs = pd.DataFrame(
        {"batch": pd.Categorical(np.where(np.arange(n_cells) % 2, "good", "poor"))},
        index=[f"cell{number}" for number in range(n_cells)],
    )
    return AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs=obs,
        var=pd.DataFrame(index=[f"GENE{number}" for number in range(n_genes)]),
    )


@pytest.fixture
def counts():
    """A function that returns raw counts of two batches, all genes in most cells."""
    return _counts


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, a temporary one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def experiments(here):
    """A function that writes raw counts and parameters and returns the experiments; a function changes each."""

    def build(adata=None, **changes):
        (_counts() if adata is None else adata).write_h5ad(here / "cells.h5ad")
        content = {}
        for name, change in (changes or {"run": None}).items():
            content[name] = copy.deepcopy(EXPERIMENT)
            if change is not None:
                change(content[name])
        path = here / "parameters.json"
        path.write_text(json.dumps({"exp_param": {"experiments_dir": "exps"}, "experiments": content}))
        return read_experiments(path)

    return build


@pytest.fixture
def experiment(experiments):
    """A function that returns one experiment, changed by a function."""
    return lambda change=None, adata=None: experiments(adata, run=change)[0]
