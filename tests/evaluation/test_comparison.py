import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
from discern.evaluation.comparison import Settings, compare_with_hidden, compare_with_reference
from discern.evaluation.findings import Findings
from discern.evaluation.other_estimates import OtherEstimate
from discern.evaluation.shown_cells import shown_cells
from discern.evaluation.smoothing import smooth_over_neighbours
from discern.io.data import DISCERNData
from discern.io.processed_cells import ProcessedCells
from discern.models.contract import DataDescription, Decoded, Latent

N_CELLS, N_GENES, N_LACKING = 240, 40, 12
LACKING = slice(0, N_LACKING)


class FirstGenes:
    """Encodes a cell to six of its genes and decodes those to all."""

    name = "first genes"
    output_space = "log1p of library-size-normalised counts"

    def __init__(self, data):
        self.data = DataDescription(data.n_vars, ("deep", "poor"), data.n_obs, data.transform)

    def transform(self):
        return self.data.transform

    def encode(self, expression, source_batch):
        return Latent(np.ascontiguousarray(expression[:, -6:]))

    def decode(self, latent_mean, target_batch):
        return Decoded(np.abs(np.tile(latent_mean, 7)[:, :N_GENES]))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small forests, nothing of integration: neither matters here and both take their time."""
    monkeypatch.setattr("discern.evaluation.distribution._N_TREES", 3)
    monkeypatch.setattr("discern.evaluation.comparison.mixing_scores", lambda *arguments: {})


@pytest.fixture
def data_of():
    """A function that returns cells of two batches and types; ``poor`` is of a data set that lacks some genes."""

    def build(with_table=True, filled=0.0):
        rng = np.random.default_rng(0)
        deep, types = np.arange(N_CELLS) % 2 == 0, (np.arange(N_CELLS) // 2) % 2
        counts = rng.poisson(rng.gamma(2.0, 2.0, (2, N_GENES))[types]).astype(np.float32)
        counts[~deep, LACKING] = 0
        total = counts.sum(axis=1)
        expression = np.log1p(counts / total[:, None] * 1000)
        expression[~deep, LACKING] = filled
        obs = pd.DataFrame(
            {
                "batch": pd.Categorical(np.where(deep, "deep", "poor")),
                "dataset": np.where(deep, "one", "query"),
                "kind": np.where(types, "T", "B"),
                "own": [f"kind{number}" for number in range(N_CELLS)],
                "n_counts": total,
            },
            index=[f"cell{number}" for number in range(N_CELLS)],
        )
        var = pd.DataFrame(
            {"mean_scaling": np.zeros(N_GENES), "var_scaling": np.ones(N_GENES)},
            index=[f"gene{number}" for number in range(N_GENES)],
        )
        adata = AnnData(sparse.csr_matrix(expression), obs, var, layers={"counts": sparse.csr_matrix(counts)})
        data = DISCERNData(adata, batch_size=32)
        data.config = {"scale": {"LSN": 1000}}
        data.uns["fixed_scaling"] = {"mean": "genes", "var": "genes"}
        if with_table:
            data.varm["measured"] = pd.DataFrame({"query": np.arange(N_GENES) >= N_LACKING}, index=data.var_names)
        return data

    return build


def scored(data, labels="kind", others=()):
    findings = Findings()
    settings = Settings("deep", labels, N_CELLS, 0, others)
    compare_with_reference(FirstGenes(data), ProcessedCells.of(data), settings, findings)
    return findings


def test_genes_that_were_not_measured_are_not_compared(data_of):
    found, again, as_zeros = (scored(data_of(*how)) for how in ((True,), (True, 9.0), (False,)))
    assert (found.facts["n_genes"], as_zeros.facts["n_genes"]) == (N_GENES - N_LACKING, N_GENES)
    assert found.notes == ["12 of 40 genes are left out, as not all data sets measured them: query lacks 12."]
    assert not as_zeros.notes
    # whatever stands there does not matter
    for method in ("as measured", "neighbours", "ComBat", "target mean", "target type means"):
        assert found.scores[method] == pytest.approx(again.scores[method], rel=1e-12, nan_ok=True)
    error = [one.scores["as measured"]["zero_fraction_error"] for one in (found, as_zeros)]
    assert error[0] < 0.5 * error[1]


def test_batches_mix_among_estimates(data_of, tmp_path, monkeypatch):
    """The target's cells are decoded, smoothed or read as those of other batches are, and else as they were measured."""
    data, seen = data_of(with_table=False), []
    family, cells = FirstGenes(data), ProcessedCells.of(data)
    twice = AnnData(np.log1p(data.X.toarray()), obs=data.obs[[]], var=data.var[[]])
    few = twice[(data.obs["batch"] == "poor").to_numpy()]
    for name, adata in (("all", twice), ("few", few)):
        adata.write_h5ad(tmp_path / f"{name}.h5ad")

    def scores(points, estimate, of_target, reference, seed):
        seen.append((of_target, reference))
        return {}

    monkeypatch.setattr("discern.evaluation.comparison.mixing_scores", scores)
    others = [OtherEstimate(name, tmp_path / f"{name}.h5ad") for name in ("all", "few")]
    compare_with_reference(family, cells, Settings("deep", "kind", N_CELLS, 0, others), Findings())
    names = ["reconstructed", "all", "few", "as measured", "neighbours", "ComBat", "latent"]
    found = dict(zip(names, seen, strict=True))
    reference = found["reconstructed"][1]
    real, space = reference.cells.expression, reference.space
    decoded = np.abs(np.tile(real[:, -6:], 7)[:, :N_GENES])
    expected = dict.fromkeys(names, real) | {
        "reconstructed": decoded,
        "all": np.log1p(real),
        "neighbours": smooth_over_neighbours(real),
    }
    for name in names[:-1]:
        np.testing.assert_allclose(found[name][0], space.points(expected[name]), atol=1e-4, err_msg=name)


def test_hidden_counts_of_genes_that_were_not_measured_are_not_compared(data_of):
    data, findings = data_of(), Findings()
    hidden = np.random.default_rng(1).poisson(1.0, data.shape).astype(np.float32)
    cells = ProcessedCells.of(data)

    def taken(names, genes):
        return sparse.csr_matrix(hidden[data.obs_names.get_indexer(names)][:, data.var_names.get_indexer(genes)])

    compare_with_hidden(FirstGenes(data), cells, "poor", taken, Settings("deep", None, N_CELLS, 0), findings)
    assert findings.notes == ["12 of 40 genes are left out, as not all data sets measured them: query lacks 12."]
    poor = (data.obs["batch"] == "poor").to_numpy()
    truth = np.log1p(hidden / hidden.sum(axis=1, keepdims=True) * 1000)[poor]
    errors = (data.X.toarray()[poor] - truth)[:, N_LACKING:] ** 2
    assert findings.scores["as measured"]["squared_error"] == pytest.approx(errors.mean(), rel=1e-5)


def test_notes_tell_what_is_left_out_without_types(data_of):
    data, findings = data_of(with_table=False), scored(data_of(with_table=False), "own")
    assert findings.notes == ["No type of obs['own'] has 20 cells on both sides: rows by type are left out."]
    findings, cells = Findings(), ProcessedCells.of(data)
    settings = Settings("deep", "own", N_CELLS, 0)
    compare_with_hidden(
        FirstGenes(data), cells, "poor", lambda names, _: data[names].layers["counts"], settings, findings
    )
    assert findings.notes == [
        "No type of obs['own'] has 20 cells on both sides: 'target type means' of hidden counts is left out."
    ]
    assert "target type means" not in findings.scores


def test_without_a_gene_that_all_measured_nothing_is_compared(data_of, tmp_path):
    data = data_of()
    other = AnnData(data.X[:, LACKING], obs=data.obs[[]], var=data.var.iloc[LACKING][[]])
    other.write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(DataError, match="no gene of the processed data that all data sets measured"):
        scored(data, others=[OtherEstimate("tool", tmp_path / "other.h5ad")])
    data.varm["measured"]["one"] = ~data.varm["measured"]["query"]
    with pytest.raises(DataError, match="No gene was measured in all data sets"):
        scored(data)


def test_a_report_shows_genes_that_all_measured(data_of, monkeypatch):
    monkeypatch.setattr("discern.evaluation.shown_cells.umap_coordinates", lambda points, seed: points[:, :2])
    shown, again, as_zeros = (
        shown_cells(FirstGenes(data), ProcessedCells.of(data), "deep", "kind", 0)
        for data in (data_of(), data_of(filled=9.0), data_of(with_table=False))
    )
    assert shown.decoding.expression.shape == (N_CELLS, N_GENES - N_LACKING)
    assert as_zeros.decoding.expression.shape == (N_CELLS, N_GENES)
    assert set(shown.markers.table["gene"]) <= {f"gene{number}" for number in range(N_LACKING, N_GENES)}
    for space in shown.neighbourhoods:
        assert shown.neighbourhoods[space] == again.neighbourhoods[space]
