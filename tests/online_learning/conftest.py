import json
import shutil

import numpy as np
import pytest

from discern.io.data import DISCERNData
from discern.io.reading import read_raw_input
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.process import process
from discern.workflows.train import train

MODEL = {"latent_dim": 4, "encoder": {"layers": [16]}, "decoder": {"layers": [16]}}
TRAINING = {"batch_size": 64, "max_steps": 1, "parallel_pc": 0, "GPU": [], "XLA": False, "early_stopping": None}


def parameters_of(*paths) -> dict:
    return {
        "input_ds": {
            "raw_input": [str(path) for path in paths],
            "filtering": {"min_genes": 100, "min_cells": 3},
            "scale": {"LSN": 20000, "fixed_scaling": {"mean": "genes", "var": "genes"}},
            "split": {"split_seed": 0, "valid_cells": 0.1},
        },
        "model": MODEL,
        "training": TRAINING,
    }


@pytest.fixture(scope="session")
def input_paths(golden_dir):
    """The three raw inputs."""
    return [golden_dir / f"input_b{number}.h5ad" for number in range(3)]


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory, input_paths):
    """An experiment trained on the first two inputs; not to be changed."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    folder.mkdir()
    (folder / "parameters.json").write_text(json.dumps(parameters_of(*input_paths[:2])))
    process(experiment_of_folder(folder))
    train(experiment_of_folder(folder))
    return folder


@pytest.fixture
def experiment(tmp_path, trained_folder):
    """A copy of the trained experiment."""
    return experiment_of_folder(shutil.copytree(trained_folder, tmp_path / "run"))


@pytest.fixture(scope="session")
def reference(trained_folder):
    """The processed cells of the first two inputs; not to be changed."""
    return DISCERNData.from_folder(trained_folder, 64)


@pytest.fixture(scope="session")
def input_section():
    """How the query is preprocessed."""
    section = parameters_of()["input_ds"]
    del section["raw_input"]
    return section


@pytest.fixture
def query(input_paths):
    """The raw third input, a new object every time."""
    return read_raw_input(input_paths[2])


@pytest.fixture
def shuffled_genes(query):
    """The third input with its genes in another order."""
    return query[:, np.random.default_rng(0).permutation(query.n_vars)].copy()
