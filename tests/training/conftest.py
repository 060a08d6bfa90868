"""Small processed data and tiny networks; no recipe, so that a test starts at once."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.io.cell_sources import MemorySource
from discern.io.data import DISCERNData
from discern.models.contract import DataDescription
from discern.models.wae.config import WAEConfig
from discern.models.wae.family import WAEFamily
from discern.optimizers.build import build_optimizer

LIBRARY_SIZE = 1000.0


def build_data(n_cells: int = 80, n_genes: int = 20, seed: int = 0, n_valid: int = 20, scaled: bool = True):
    """Processed cells of two batches; about half of the counts are zero."""
    rng = np.random.default_rng(seed)
    batch = rng.integers(0, 2, n_cells)
    mean = rng.gamma(1.0, 1.0, n_genes) * np.where(batch[:, None] == 0, 0.7, 1.3)
    drawn = rng.poisson(mean).astype(np.float32)
    drawn[:, 0] = 1.0  # no cell is empty
    counts = sparse.csr_matrix(drawn)
    library_size = np.asarray(counts.sum(axis=1)).ravel()
    logged = counts.multiply(LIBRARY_SIZE / library_size[:, None]).tocsr().log1p()
    dense = logged.toarray()
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(np.array(["old", "new"])[batch], ["old", "new"]),
            "celltype": pd.Categorical(rng.choice(["B", "T"], n_cells)),
            "split": pd.Categorical(["valid"] * n_valid + ["train"] * (n_cells - n_valid)),
            "n_counts": library_size.astype(np.float32),
        },
        index=[f"cell{number}" for number in range(n_cells)],
    )
    var = pd.DataFrame(
        {"mean_scaling": dense.mean(axis=0), "var_scaling": np.maximum(dense.std(axis=0), 1e-8)},
        index=[f"gene{number}" for number in range(n_genes)],
    )
    uns = {"DISCERN": {"scale": {"LSN": LIBRARY_SIZE}}}
    if scaled:
        uns["fixed_scaling"] = {"mean": "genes", "var": "genes"}
    return DISCERNData(anndata.AnnData(logged, obs, var, uns, layers={"counts": counts}), batch_size=16)


def without_some_genes(data):
    """Let every third cell lack the genes from 12 on; its data set did not measure them."""
    lacking = np.arange(data.n_obs) % 3 == 0
    counts = data.layers["counts"].toarray()
    counts[np.ix_(lacking, np.arange(12, data.n_vars))] = 0
    data.layers["counts"] = sparse.csr_matrix(counts)
    data.obs["dataset"] = pd.Categorical(np.where(lacking, "few", "all"))
    data.varm["measured"] = pd.DataFrame({"few": np.arange(data.n_vars) < 12}, index=data.var_names)
    return data


def build_family(data, seed: int = 0, jit: bool = False, eager: bool = False, optimizer=None, **model) -> WAEFamily:
    """A compiled tiny network for the data; eager is faster than tracing for a few steps."""
    sections = {"layers": [8], "latent_dim": 4} | model
    n_train = len(data.cells_of("train"))
    description = DataDescription(data.n_vars, tuple(data.batches), n_train, data.transform)
    family = WAEFamily(WAEConfig.model_validate(sections), description, seed)
    family.compile(optimizer or build_optimizer("RectifiedAdam", 1e-3, {}), jit)
    family.model.run_eagerly = eager
    return family


def sources(data):
    return tuple(MemorySource(data, data.batches, data.cells_of(split)) for split in ("train", "valid"))


@pytest.fixture(scope="session")
def make_data():
    return build_data


@pytest.fixture(scope="session")
def make_family():
    return build_family


@pytest.fixture(scope="session")
def sources_of():
    return sources


@pytest.fixture(scope="session")
def lack_genes():
    return without_some_genes


@pytest.fixture
def data():
    return build_data()
