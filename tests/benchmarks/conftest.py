"""A few cells of three kinds, raw counts of which take the part of real cells."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

N_REAL = 90
N_GENES = 400
MANY_GENES = 3500


@pytest.fixture(scope="session")
def kinds():
    """The kind of every real cell."""
    return np.arange(N_REAL) % 3


def write_real_cells(path, kinds, n_genes):
    rng = np.random.default_rng(5)
    profiles = rng.gamma(0.3, 1.0, (3, n_genes))
    profiles[:, -20:] = 0
    counts = rng.poisson(profiles[kinds] * rng.uniform(0.5, 1.5, (N_REAL, 1)))
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(n_genes)])
    obs = pd.DataFrame(index=[f"cell{number}" for number in range(N_REAL)])
    AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=var).write_h5ad(path)
    return path


@pytest.fixture(scope="session")
def real_file(tmp_path_factory, kinds):
    """An h5ad file of raw counts; the last genes are never seen."""
    return write_real_cells(tmp_path_factory.mktemp("real") / "real.h5ad", kinds, N_GENES)


@pytest.fixture(scope="session")
def many_genes_file(tmp_path_factory, kinds):
    """As before with so many genes that cells made from it pass the shipped filters."""
    return write_real_cells(tmp_path_factory.mktemp("real") / "many_genes.h5ad", kinds, MANY_GENES)
