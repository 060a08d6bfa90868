import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse


def make_counts(n_cells: int, n_genes: int, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    mean = rng.gamma(0.6, 1.5, n_genes) * rng.uniform(0.5, 2.0, (n_cells, 1))
    return sparse.csr_matrix(rng.poisson(mean).astype(np.float32))


@pytest.fixture
def counts() -> sparse.csr_matrix:
    """Raw counts of 90 cells and 60 genes."""
    return make_counts(90, 60)


@pytest.fixture
def make_adata():
    """Builder of one input: cells with counts, a batch name in obs when given, a cell type."""

    def build(n_cells: int, n_genes: int = 60, seed: int = 0, **obs) -> anndata.AnnData:
        names = [f"cell{seed}_{i}" for i in range(n_cells)]
        table = pd.DataFrame({"celltype": ["T", "B", "T"] * n_cells}, index=None).iloc[:n_cells].set_axis(names)
        return anndata.AnnData(
            make_counts(n_cells, n_genes, seed),
            obs=table.assign(**obs),
            var=pd.DataFrame(index=[f"gene{i}" for i in range(n_genes)]),
        )

    return build


@pytest.fixture
def parameters() -> dict:
    """An input section for small data."""
    return {
        "filtering": {"min_genes": 5, "min_cells": 3},
        "scale": {"LSN": 1000, "fixed_scaling": {"mean": "genes", "var": "genes"}},
        "split": {"split_seed": 0, "valid_cells": 0.1},
    }
