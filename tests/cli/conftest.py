import copy
import json
import logging
import sys
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.cli.main import main

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


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


def _counts(n_cells=80, n_genes=60, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(2.0, 1.0, n_genes) * rng.uniform(0.5, 2.0, (n_cells, 1)))
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
def here(tmp_path, monkeypatch):
    """The current folder, a temporary one that holds raw counts: cells.h5ad, 80 cells of two batches."""
    monkeypatch.chdir(tmp_path)
    _counts().write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path


@pytest.fixture
def counts():
    """A function that returns raw counts."""
    return _counts


@pytest.fixture
def parameters(here):
    """A function that writes parameters.json with experiments, each changed by a function."""

    def write(**changes):
        experiments = {}
        for name, change in (changes or {"run": None}).items():
            experiments[name] = copy.deepcopy(EXPERIMENT)
            if change is not None:
                change(experiments[name])
        path = here / "parameters.json"
        path.write_text(json.dumps({"exp_param": {"experiments_dir": "exps"}, "experiments": experiments}))
        return path.name

    return write


@pytest.fixture
def logging_as_before(monkeypatch):
    """Undo what a command does to the logging of this process."""
    root, program = logging.getLogger(), logging.getLogger("discern")
    handlers, levels = root.handlers[:], (root.level, program.level)
    root.handlers = []
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # a command replaces it
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(levels[0])
    program.setLevel(levels[1])
    logging.captureWarnings(False)


@pytest.fixture
def discern(capsys, monkeypatch, logging_as_before):
    """A function that runs the command line in this process."""

    def run(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["discern", *map(str, arguments)])
        exit_code = 0
        try:
            main()
        except SystemExit as end:
            exit_code = end.code or 0
        return Finished(exit_code, *capsys.readouterr())

    return run


@pytest.fixture
def files_of():
    """A function that returns the content of every file under a folder, but for the record of runs that failed, too."""

    def contents(folder):
        files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "provenance.json")
        return {path: path.read_bytes() for path in files}

    return contents
