import json
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.estimators.run_exp import run_train
from discern.preprocessing import read_process_serialize


@pytest.fixture(scope="session")
def parameters(tmp_path_factory) -> dict:
    """One experiment on two small files of raw counts, whose model is small too."""
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    profiles = rng.gamma(0.8, 2.0, (2, 60))
    paths = []
    for name, depth in (("low", 0.5), ("high", 2.0)):
        celltype = np.array(["T", "B"] * 40)
        counts = rng.poisson(profiles[(celltype == "T").astype(int)] * depth).astype(np.float32)
        obs = pd.DataFrame({"celltype": pd.Categorical(celltype)}, index=[f"{name}{i}" for i in range(80)])
        adata = anndata.AnnData(sparse.csr_matrix(counts), obs, pd.DataFrame(index=[f"gene{i}" for i in range(60)]))
        paths.append(str(folder / f"{name}.h5ad"))
        adata.write_h5ad(paths[-1])
    return {
        "input_ds": {
            "raw_input": paths,
            "filtering": {"min_genes": 5, "min_cells": 3},
            "scale": {"LSN": 1000, "fixed_scaling": {"mean": "genes", "var": "genes"}},
        },
        "model": {"latent_dim": 4, "layers": [16, 8], "norm_type": ["conditionallayernorm"] * 2, "regularization": 0.1},
        "training": {"batch_size": 32, "max_steps": 2, "XLA": False, "GPU": [], "parallel_pc": 0},
    }


@pytest.fixture(scope="session")
def _processed(parameters, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processed") / "experiment"
    folder.mkdir()
    (folder / "parameters.json").write_text(json.dumps(parameters))
    read_process_serialize(folder)
    return folder


@pytest.fixture(scope="session")
def _trained(_processed, tmp_path_factory):
    folder = shutil.copytree(_processed, tmp_path_factory.mktemp("trained") / "experiment")
    run_train(folder)
    return folder


@pytest.fixture
def exp_folder(_processed, tmp_path):
    """The processed experiment."""
    return shutil.copytree(_processed, tmp_path / "experiment")


@pytest.fixture
def trained_folder(_trained, tmp_path):
    """The experiment after two epochs."""
    return shutil.copytree(_trained, tmp_path / "experiment")
