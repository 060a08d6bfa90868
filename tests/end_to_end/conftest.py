import copy
import json
import logging
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from discern.cli.main import main

EXPERIMENT = {
    "input_ds": {
        "raw_input": {"cells.h5ad": "donor"},
        "filtering": {"min_genes": 10, "min_cells": 3},
        "scale": {"LSN": 20000, "fixed_scaling": {"mean": "genes", "var": "genes"}},
        "n_cpus_preprocessing": 2,
    },
    "model": {"latent_dim": 4, "encoder": {"layers": [16]}, "decoder": {"layers": [16]}},
    "training": {"batch_size": 64, "max_steps": 2, "parallel_pc": 1, "GPU": [], "XLA": False},
}
DONORS = {101: "donor_101", 1015: "donor_1015"}
N_CELLS, N_GENES = 150, 700


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def cells(data_dir):
    """300 real cells × 700 genes of two donors, raw counts, with the kinds of annotation people have; not to be changed.

    ``donor`` holds whole numbers, ``site`` values that are no file names, ``partial`` lacks values.
    """
    all_cells = anndata.read_h5ad(data_dir / "kang_pbmc_ctrl_8donors.h5ad")
    rng = np.random.default_rng(0)
    donor = all_cells.obs["batch"].astype(str).to_numpy()
    chosen = [np.sort(rng.choice(np.flatnonzero(donor == name), N_CELLS, replace=False)) for name in DONORS.values()]
    genes = np.sort(np.argsort(-np.asarray(all_cells.X.sum(axis=0)).ravel(), kind="stable")[:N_GENES])
    found = all_cells[np.concatenate(chosen), genes].copy()
    obs = pd.DataFrame({"celltype": found.obs["celltype"].astype(str).astype("category")}, index=found.obs_names)
    obs["donor"] = np.repeat(list(DONORS), N_CELLS)
    obs["site"] = pd.Categorical(np.where(np.arange(len(obs)) % 3 == 0, "a/b c", "x:y"))
    obs["partial"] = pd.Categorical(np.where(np.arange(len(obs)) % 7 == 0, None, obs["celltype"].astype(object)))
    return anndata.AnnData(found.X, obs=obs, var=pd.DataFrame(index=found.var_names))


def write_parameters(folder, **changes):
    """Write a parameters file with experiments, each changed by a function."""
    experiments = {}
    for name, change in (changes or {"run": None}).items():
        experiments[name] = copy.deepcopy(EXPERIMENT)
        if change is not None:
            change(experiments[name])
    path = folder / "parameters.json"
    path.write_text(json.dumps({"exp_param": {"experiments_dir": "exps"}, "experiments": experiments}))
    return path


def start(folder, *arguments):
    """Run ``discern`` in a process of its own, in a folder, as a user without terminal would."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    finished = subprocess.run(
        [sys.executable, "-m", "discern", *map(str, arguments)],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr)


@dataclass(frozen=True)
class Job:
    """A folder in which the main job ran, and how its commands ended."""

    folder: Path
    process: Finished
    train: Finished
    project: Finished

    @property
    def experiment(self):
        return self.folder / "exps" / "run"


def whole_job(folder, cells):
    """Process, train and project in processes of their own."""
    cells.write_h5ad(folder / "cells.h5ad")
    write_parameters(folder)
    return Job(folder, *(start(folder, verb, "parameters.json") for verb in ("process", "train", "project")))


@pytest.fixture(scope="session")
def job(tmp_path_factory, cells):
    """The main job on real cells; not to be changed."""
    return whole_job(tmp_path_factory.mktemp("job"), cells)


@pytest.fixture(scope="session")
def second_job(tmp_path_factory, cells):
    """The same once more, from nothing; not to be changed."""
    return whole_job(tmp_path_factory.mktemp("second_job"), cells)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, a temporary one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(job, here):
    """The experiment folder of a copy of the main job, which is the current folder."""
    shutil.copytree(job.folder, here, dirs_exist_ok=True)
    shutil.rmtree(here / "exps" / "run" / "projected")
    return here / "exps" / "run"


@pytest.fixture
def parameters(here):
    """A function that writes the parameters file into the current folder."""
    return lambda **changes: write_parameters(here, **changes).name


@pytest.fixture
def discern(capsys, monkeypatch, here):
    """A function that runs the command line in this process, in the current folder."""
    root, program = logging.getLogger(), logging.getLogger("discern")
    handlers, levels = root.handlers[:], (root.level, program.level)
    root.handlers = []
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # a command replaces it

    def run(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["discern", *map(str, arguments)])
        exit_code = 0
        try:
            main()
        except SystemExit as end:
            exit_code = end.code or 0
        return Finished(exit_code, *capsys.readouterr())

    yield run
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(levels[0])
    program.setLevel(levels[1])
    logging.captureWarnings(False)


@pytest.fixture
def in_own_process(here):
    """A function that runs ``discern`` in a process of its own, in the current folder."""
    return lambda *arguments: start(here, *arguments)
