from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from discern.errors import NoCountPriorError
from discern.io.processed_cells import ProcessedCells
from discern.io.transform import InputTransform
from discern.models.contract import Decoded, Latent
from discern.projection.batch_labels import own_labels
from discern.projection.content import ProjectedContent
from discern.projection.count_prior import CountPrior, expected_counts, fit_count_prior, posterior
from discern.projection.decoding import decoded_into, encoded_slices
from discern.projection.project import project_cells
from discern.projection.targets import Target

LSN = 100.0
LOG = InputTransform(library_size=LSN, log=True)


@pytest.fixture
def split_data(data):
    data.obs["split"] = pd.Categorical(["train", "valid", "valid"] * 7 + ["train", "valid"])
    return data


def test_the_share_is_the_mean_of_a_gamma_distribution_after_a_count():
    """Bayes' rule by numerical integration: gamma prior, Poisson count."""
    size, expected, count = 0.7, 2.5, 4
    rho = np.linspace(1e-6, 30, 400_001)
    weight = stats.gamma.pdf(rho, size, scale=1 / size) * stats.poisson.pmf(count, rho * expected)
    prior = CountPrior(np.float32([size]), np.float32([[2.0], [0.5]]))
    own = np.log1p(np.float32([[expected / 2.0]]))  # of a batch whose counts are twice what is expected
    shares = prior.shares(own, np.float32([[count]]), np.float32([LSN]), np.float32([[1.0, 0.0]]), LOG)
    np.testing.assert_allclose(shares, (rho * weight).sum() / weight.sum(), rtol=1e-4)


@pytest.mark.parametrize(
    "transform", [LOG, InputTransform(library_size=LSN), InputTransform(log=True), InputTransform()]
)
def test_expected_counts_undo_the_transform(transform):
    counts = np.float32([[3, 0, 2], [1, 5, 0]])
    total = np.float32([50, 200])
    expression = transform.dense(sparse.csr_matrix(counts), total)
    np.testing.assert_allclose(expected_counts(expression, total, transform), counts, rtol=1e-5, atol=1e-6)


def test_an_estimate_is_multiplied_before_the_logarithm():
    expression, shares = np.float32([[0.0, 1.0, 2.0]]), np.float32([[5.0, 0.5, 1.0]])
    np.testing.assert_allclose(posterior(expression, shares, LOG), np.log1p(np.expm1(expression) * shares), rtol=1e-6)
    np.testing.assert_allclose(posterior(expression, shares, InputTransform()), expression * shares)
    np.testing.assert_array_equal(posterior(expression, np.ones((1, 3), np.float32), InputTransform()), expression)


class KnownFamily:
    """Expects ten counts of the first gene, five of the second and none of the third in cells of 100 counts."""

    name, output_space = "known", "log1p of library-size-normalised counts"

    def __init__(self, data):
        from discern.models.contract import DataDescription

        self.data = DataDescription(data.n_vars, ("a", "b", "c"), 1, LOG)

    def transform(self):
        return LOG

    def encode(self, expression, source_batch):
        return Latent(np.zeros((len(expression), 2), np.float32))

    def decode(self, latent_mean, target_batch):
        expected = np.float32([10.0, 5.0, 0.0]) * (1 + target_batch[:, 1:2])  # batch b: twice of everything
        return Decoded(np.log1p(expected).astype(np.float32))


def _counted(n_cells: int, sizes: list[float], ratios: list[float], seed: int) -> ProcessedCells:
    """Negative binomial counts around ``ratio`` times what :class:`KnownFamily` expects in cells of 200 counts."""
    rng = np.random.default_rng(seed)
    batch = np.array(["a", "b"])[np.arange(n_cells) % 2]
    mean = np.float64([10, 5, 0]) * 2 * (1 + (batch == "b"))[:, None]
    mean *= np.where(batch == "a", *ratios)[:, None]
    rho = rng.gamma(sizes, 1 / np.array(sizes), (n_cells, 3))
    counts = sparse.csr_matrix(rng.poisson(mean * rho).astype(np.float32))
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(batch, categories=["a", "b", "c"]),
            "n_counts": np.full(n_cells, 200.0),
            "split": np.where(np.arange(n_cells) % 5 == 0, "train", "valid"),
        },
        index=[str(i) for i in range(n_cells)],
    )
    var = pd.DataFrame(index=["one", "two", "three"])
    uns = {"DISCERN": {"scale": {"LSN": LSN}}}
    return ProcessedCells(obs, var, uns, {"X": None, "counts": counts}, batch_size=64)


def test_size_and_ratio_are_found_again():
    cells = _counted(20_000, [0.5, 4.0, 1.0], [1.5, 0.5], seed=0)
    prior = fit_count_prior(KnownFamily(cells), cells)
    np.testing.assert_allclose(prior.size[:2], [0.5, 4.0], rtol=0.1)
    np.testing.assert_allclose(prior.ratio[0, :2], 1.5, rtol=0.05)
    np.testing.assert_allclose(prior.ratio[1, :2], 0.5, rtol=0.05)


def test_the_fit_equals_a_plain_loop():
    cells = _counted(300, [0.5, 4.0, 1.0], [1.5, 0.5], seed=1)
    prior = fit_count_prior(KnownFamily(cells), cells)
    counts = cells.counts[slice(0, 300)].toarray().astype(np.float64)
    valid, batch = cells.obs["split"] == "valid", cells.obs["batch"].to_numpy()
    expected = np.float64([10, 5, 0]) * 2 * (1 + (batch == "b"))[:, None]
    overall = {b: counts[valid & (batch == b)].sum() / expected[valid & (batch == b)].sum() for b in "ab"}
    spread, evidence = np.zeros(3), np.zeros(3)
    for gene in range(3):
        for row, b in enumerate("ab"):
            chosen = np.flatnonzero(valid & (batch == b))
            y, e = counts[chosen, gene], expected[chosen, gene]
            ratio = (y.sum() + 10 * overall[b]) / (e.sum() + 10)
            assert prior.ratio[row, gene] == pytest.approx(ratio, rel=1e-5)
            spread[gene] += ((y - ratio * e) ** 2 - ratio * e).sum()
            evidence[gene] += ((ratio * e) ** 2).sum()
    inverse = (spread + 10 * spread.sum() / evidence.sum()) / (evidence + 10)
    np.testing.assert_allclose(prior.size, 1 / np.maximum(inverse, 1e-3), rtol=1e-4)


def test_a_batch_without_cells_has_the_ratio_of_all_together():
    cells = _counted(2_000, [1.0, 1.0, 1.0], [1.5, 0.5], seed=2)
    prior = fit_count_prior(KnownFamily(cells), cells)
    np.testing.assert_allclose(prior.ratio[2, :2], (1.5 * 1 + 0.5 * 2) / 3, rtol=0.1)


def test_counts_that_tell_nothing_change_nothing():
    """Poisson counts around what is expected: the decoder knows all there is to know."""
    cells = _counted(20_000, [1e6, 1e6, 1e6], [1.0, 1.0], seed=3)
    prior = fit_count_prior(KnownFamily(cells), cells)
    assert (prior.size[:2] > 100).all()
    shares = next(_shares(prior, KnownFamily(cells), cells))
    np.testing.assert_allclose(shares[:, :2], 1.0, atol=0.15)


def _shares(prior, family, cells):
    labels = own_labels(cells, family.data.batches)
    for piece in encoded_slices(family, cells, labels):
        own = labels[piece.cells]
        yield prior.shares_of(decoded_into(family, piece, own), cells, piece.cells, own, family.transform())


def test_validation_cells_are_needed(split_data, family):
    split_data.obs["split"] = "train"
    with pytest.raises(NoCountPriorError, match="there are none. Set input_ds.split.valid_cells to 0.1"):
        fit_count_prior(family, ProcessedCells.of(split_data))


def test_other_outputs_than_log_expression_are_refused(split_data, family):
    family.output_space = "counts"
    with pytest.raises(NoCountPriorError, match="'shift' gives counts"):
        fit_count_prior(family, ProcessedCells.of(split_data))


def test_genes_that_were_not_measured_keep_their_estimate(split_data, family):
    split_data.uns["fixed_scaling"] = {"mean": "genes", "var": "genes"}
    split_data.obs["dataset"] = pd.Categorical(["one", "two"] * 11 + ["one"])
    split_data.varm["measured"] = pd.DataFrame({"two": [True, False, True] * 3}, index=split_data.var_names)
    cells = ProcessedCells.of(split_data)
    prior = fit_count_prior(family, cells)
    shares = np.concatenate(list(_shares(prior, family, cells)))
    assert (shares[1::2, 1::3] == 1).all()
    assert (shares[0::2] != 1).all()


@pytest.mark.parametrize("genes", [None, ("gene7", "gene2")])
def test_the_layer_of_a_projection(split_data, family, tmp_path, genes):
    cells = ProcessedCells.of(split_data)
    prior = fit_count_prior(family, cells)
    content = ProjectedContent(layers=("estimated_counts", "posterior_counts"), genes=genes)
    target = Target("batch", "high/2")
    (path,) = project_cells(family, cells, [target], tmp_path, content=content, prior=prior)
    (plain,) = project_cells(family, cells, [target], tmp_path / "plain", content=replace(content, layers=()))
    file = anndata.read_h5ad(path)
    assert set(file.layers) == {"estimated_counts", "posterior_counts"}
    np.testing.assert_array_equal(file.X.toarray(), anndata.read_h5ad(plain).X.toarray())
    labels = own_labels(cells, family.data.batches)
    own = np.concatenate(
        [decoded_into(family, p, labels[p.cells]).expression for p in encoded_slices(family, cells, labels)]
    )
    counts = split_data.layers["counts"].toarray()
    expected = np.expm1(own) * split_data.obs["n_counts"].to_numpy()[:, None] / 100
    expected *= prior.ratio[labels[:].argmax(axis=1)]
    shares = (counts + prior.size) / (expected + prior.size)
    chosen = slice(None) if genes is None else [7, 2]
    estimate = np.log1p(np.expm1(file.layers["estimated_counts"]) * shares[:, chosen])
    np.testing.assert_allclose(file.layers["posterior_counts"], estimate, rtol=1e-4, atol=1e-5)


def test_cells_are_decoded_into_their_own_batches_once(split_data, family, tmp_path, monkeypatch):
    """For the shares and for the file that asks for the same."""
    cells = ProcessedCells.of(split_data)
    prior = fit_count_prior(family, cells)
    decoded, decode = [], family.decode
    monkeypatch.setattr(family, "decode", lambda latent, labels: decoded.append(labels) or decode(latent, labels))
    targets = [Target(), Target("batch", "high/2")]
    paths = project_cells(family, cells, targets, tmp_path, prior=prior)
    assert len(decoded) == 2 * 3  # minibatches
    for target, path in zip(targets, paths, strict=True):
        (alone,) = project_cells(family, cells, [target], tmp_path / "alone")
        np.testing.assert_array_equal(anndata.read_h5ad(path).X.toarray(), anndata.read_h5ad(alone).X.toarray())
