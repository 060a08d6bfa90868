import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.io.data import DISCERNData
from discern.models.contract import DataDescription, Decoded, Latent

N_CELLS, N_GENES = 23, 9


class ShiftFamily:
    """Encodes a cell to three of its genes; decodes them and a shift that depends on the target batch."""

    name = "shift"
    output_space = "log1p of library-size-normalised counts"

    def __init__(self, data: DISCERNData, batches: tuple[str, ...]):
        self.data = DataDescription(data.n_vars, batches, 17, data.transform)
        self.sizes: list[int] = []

    def transform(self):
        return self.data.transform

    def encode(self, expression, source_batch):
        self.sizes.append(len(expression))
        assert expression.dtype == source_batch.dtype == np.float32
        return Latent(expression[:, :3] + source_batch.argmax(axis=1)[:, None].astype(np.float32), expression[:, 3:6])

    def decode(self, latent_mean, target_batch):
        shift = target_batch @ np.arange(1.0, 1 + target_batch.shape[1], dtype=np.float32)
        expression = np.tile(np.abs(latent_mean), 3) + shift[:, None]
        return Decoded(expression, np.full_like(expression, 0.5))


class CertainFamily(ShiftFamily):
    """The same without dropout probabilities and without the spread of the latent codes."""

    def encode(self, expression, source_batch):
        return Latent(super().encode(expression, source_batch).mean)

    def decode(self, latent_mean, target_batch):
        return Decoded(super().decode(latent_mean, target_batch).expression)


@pytest.fixture
def data() -> DISCERNData:
    """23 processed cells of the batches low and high/2."""
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix((rng.poisson(1.0, (N_CELLS, N_GENES)) + np.eye(N_CELLS, N_GENES)).astype(np.float32))
    total = np.asarray(counts.sum(axis=1)).ravel()
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(["low", "high/2", "low"] * 7 + ["low", "high/2"], categories=["low", "high/2"]),
            "celltype": pd.Categorical(["T", "B"] * 11 + ["T"]),
            "n_counts": np.maximum(total, 1),
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    var = pd.DataFrame(
        {"mean_scaling": np.linspace(0, 2, N_GENES), "var_scaling": np.linspace(0.5, 1, N_GENES)},
        index=[f"gene{i}" for i in range(N_GENES)],
    )
    data = DISCERNData(AnnData(sparse.csr_matrix(np.log1p(counts.toarray())), obs, var), batch_size=8)
    data.layers["counts"] = counts
    data.config = {"scale": {"LSN": 100}}
    data.uns["fixed_scaling"] = {"mean": "genes", "var": "genes"}
    return data


@pytest.fixture
def family(data) -> ShiftFamily:
    """A model whose batches stand in another order than those of the data."""
    return ShiftFamily(data, ("high/2", "third", "low"))


@pytest.fixture
def certain_family(data) -> CertainFamily:
    return CertainFamily(data, ("high/2", "third", "low"))
