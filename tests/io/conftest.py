import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.io import cell_sources
from discern.io.cell_sources import MemorySource, RecordSource
from discern.io.data import DISCERNData
from discern.io.record_schema import TRAINING
from discern.io.tfrecord_writer import write_records


@pytest.fixture
def make_counts():
    """Builder of raw counts, CSR float32 (n_cells, n_genes), about one entry in four not zero."""

    def build(n_cells: int, n_genes: int, seed: int = 0, highest: int = 9) -> sparse.csr_matrix:
        rng = np.random.default_rng(seed)
        values = rng.integers(1, highest + 1, (n_cells, n_genes)) * (rng.random((n_cells, n_genes)) < 0.25)
        return sparse.csr_matrix(values.astype(np.float32))

    return build


@pytest.fixture
def make_processed():
    """Builder of data as preprocessing leaves it: cells take turns in the batches, every fourth is for validation."""

    def build(counts: sparse.csr_matrix, batches=("low", "high"), scaled: bool = True) -> DISCERNData:
        n_cells, n_genes = counts.shape
        total = np.asarray(counts.sum(axis=1)).ravel()
        rng = np.random.default_rng(7)
        adata = AnnData(
            sparse.csr_matrix(counts),
            obs=pd.DataFrame(
                {
                    "batch": pd.Categorical([batches[i % len(batches)] for i in range(n_cells)], categories=batches),
                    "split": pd.Categorical(["valid" if i % 4 == 3 else "train" for i in range(n_cells)]),
                    "n_counts": total,
                },
                index=[f"cell{i}" for i in range(n_cells)],
            ),
            var=pd.DataFrame(
                {"mean_scaling": rng.gamma(2.0, 1.0, n_genes), "var_scaling": rng.uniform(0.05, 2.0, n_genes)},
                index=[f"gene{i}" for i in range(n_genes)],
            ),
            layers={"counts": counts},
        )
        data = DISCERNData(adata, batch_size=8)
        data.config = {"scale": {"LSN": 1000}}
        if scaled:
            data.uns["fixed_scaling"] = {"mean": "genes", "var": "genes"}
        return data

    return build


@pytest.fixture
def with_panels():
    """Changer of processed data: cells take turns in three data sets, two of which lack a third of the genes each."""

    def change(data: DISCERNData) -> DISCERNData:
        data.obs["dataset"] = pd.Categorical([("all", "few", "other")[i % 3] for i in range(data.n_obs)])
        thirds = np.arange(data.n_vars) % 3
        data.varm["measured"] = pd.DataFrame({"other": thirds != 1, "few": thirds != 2}, index=data.var_names)
        counts = data.layers["counts"].multiply(measured_by_hand(data)).tocsr()
        counts.eliminate_zeros()
        data.layers["counts"] = counts
        return data

    return change


@pytest.fixture
def measured_genes():
    return measured_by_hand


def measured_by_hand(data: DISCERNData) -> np.ndarray:
    """Whether each gene was measured in each cell, from the table, one by one."""
    table = data.varm["measured"]
    return np.array(
        [
            [dataset not in table or table.loc[gene, dataset] for gene in data.var_names]
            for dataset in data.obs["dataset"].astype(str)
        ]
    )


@pytest.fixture(params=["held records", "blocks of records", "memory"])
def source(request, data, tmp_path, monkeypatch):
    """The training cells of the module's own ``data``."""
    if request.param == "memory":
        return MemorySource(data, data.batches, data.cells_of("train"))
    write_records(data, tmp_path / "records")
    if request.param == "held records":
        return RecordSource(tmp_path / "records", TRAINING)
    monkeypatch.setattr(cell_sources, "_SMALLEST_BLOCK", 30)
    return RecordSource(tmp_path / "records", TRAINING, memory_budget=1)
