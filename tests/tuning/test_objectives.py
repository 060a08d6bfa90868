"""MMD and AUC of projected cells, against independent numbers."""

from dataclasses import dataclass
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError, DivergenceError, ExperimentError
from discern.evaluation.distribution import classifier_auc
from discern.io.data import DISCERNData
from discern.io.transform import InputTransform
from discern.models.contract import Decoded, Latent
from discern.tuning.objectives import MEASURES, ProjectionMeasures, RecordedSpace, read_measures

SCALES = np.linspace(0.8, 1.5, 23)


@dataclass
class Shifting:
    """A family whose latent is the number of each cell; it decodes a cell to a table plus its target's shift."""

    table: np.ndarray
    shifts: np.ndarray
    batches: tuple = ("a", "b")

    @property
    def data(self):
        return SimpleNamespace(batches=self.batches)

    def transform(self):
        return InputTransform()

    def encode(self, expression, source_batch):
        return Latent(expression[:, :1] - 1.0)  # the first gene counts the cells, from 1

    def decode(self, latent_mean, target_batch):
        numbers = np.rint(latent_mean[:, 0]).astype(int)
        return Decoded((self.table[numbers] + target_batch @ self.shifts).astype(np.float32))


def cells_of(expression, batch):
    counts = np.column_stack([np.arange(1, len(expression) + 1), np.ones((len(expression), expression.shape[1] - 1))])
    obs = pd.DataFrame(
        {"batch": pd.Categorical(batch), "n_counts": counts.sum(axis=1)}, index=list(map(str, range(len(batch))))
    )
    layers = {"counts": sparse.csr_matrix(counts.astype(np.float32))}
    return DISCERNData(anndata.AnnData(sparse.csr_matrix(expression), obs, layers=layers), batch_size=7)


def slow_mmd(x, y, width):
    """The largest over scales, cell by cell."""

    def mean(a, b, scale, same):
        values = [
            np.exp(-np.sum((one - other) ** 2) / (2 * width * scale))
            for i, one in enumerate(a)
            for j, other in enumerate(b)
            if not (same and i == j)
        ]
        return np.mean(values)

    return max(mean(x, x, s, True) + mean(y, y, s, True) - 2 * mean(x, y, s, False) for s in SCALES)


@pytest.fixture
def built():
    rng = np.random.default_rng(1)
    expression = rng.gamma(2.0, 1.0, (30, 5)).astype(np.float32)
    batch = np.where(np.arange(30) % 3 == 0, "a", "b")
    space = RecordedSpace(rng.normal(size=(5, 3)), rng.normal(size=5), rng.uniform(0.5, 2.0, 5), 3.0)
    family = Shifting(rng.gamma(2.0, 1.0, (30, 5)), np.array([[0.5] * 5, [0.0, 1.0, 0.0, 1.0, 0.0]]))
    return expression, batch, space, family


def test_measures_are_those_of_a_slow_computation(built):
    expression, batch, space, family = built
    measured = ProjectionMeasures(cells_of(expression, batch), space, ["a", "b"], seed=3).measure(family, MEASURES)
    expected = {name: [] for name in MEASURES}
    for number, target in enumerate("ab"):
        real = ((expression - space.mean) / space.std @ space.loadings)[batch == target]
        projected = (family.table + family.shifts[number] - space.mean) / space.std @ space.loadings
        for chosen, ending in ((batch != target, ""), (batch == target, "_autoencoded")):
            expected[f"mmd{ending}"].append(slow_mmd(projected[chosen], real, 3.0))
            seeded = np.random.default_rng(3)
            points = projected[chosen].astype(np.float32), real.astype(np.float32)
            expected[f"auc{ending}"].append(classifier_auc(*points, seeded))
    assert set(measured) == set(MEASURES)
    for name in MEASURES:
        np.testing.assert_allclose(measured[name], np.mean(expected[name]), rtol=1e-4, err_msg=name)


def test_the_mmd_of_cells_as_published(golden_dir):
    golden = np.load(golden_dir / "mmd_loss.npz")
    both = np.concatenate([golden["x"], golden["y"]]).astype(np.float32)
    n_genes = both.shape[1]
    space = RecordedSpace(np.eye(n_genes), np.zeros(n_genes), np.ones(n_genes), float(golden["sigma"]))
    batch = np.repeat(["a", "b"], [len(golden["x"]), len(golden["y"])])
    family = Shifting(both, np.zeros((2, n_genes)))
    at_most = len(both)
    measured = ProjectionMeasures(cells_of(both, batch), space, ["b"], at_most=at_most).measure(family, ["mmd"])
    np.testing.assert_allclose(measured["mmd"], golden["mmd_c"], rtol=5e-6)


def test_a_perfect_model_cannot_be_told_from_the_cells(built):
    expression, batch, space, _ = built
    perfect = Shifting(expression, np.zeros((2, 5)))
    measured = ProjectionMeasures(cells_of(expression, batch), space, ["b"]).measure(perfect, MEASURES)
    assert measured["mmd_autoencoded"] < 0.0 < measured["mmd"] + 0.2
    far = Shifting(expression + 10.0, np.zeros((2, 5)))
    worse = ProjectionMeasures(cells_of(expression, batch), space, ["b"]).measure(far, MEASURES)
    assert worse["auc_autoencoded"] > 0.95 > measured["auc_autoencoded"]
    assert worse["mmd_autoencoded"] > measured["mmd_autoencoded"]


def test_only_what_is_wanted_is_measured_on_a_bounded_number_of_cells(built):
    expression, batch, space, family = built
    seen = []
    decode = family.decode
    family.decode = lambda latent, target: (seen.append(len(latent)), decode(latent, target))[1]
    measures = ProjectionMeasures(cells_of(expression, batch), space, ["a"], at_most=6)
    assert set(measures.measure(family, ["mmd"])) == {"mmd"}
    assert seen == [7]  # six cells, filled up to a minibatch
    assert measures.measure(family, ["mmd"]) == measures.measure(family, ["mmd"])
    assert measures.measure(family, []) == {}


def test_cells_that_are_not_finite_are_divergence(built):
    expression, batch, space, family = built
    family.table[4] = np.nan
    with pytest.raises(DivergenceError, match="projected to a hold values that are not finite"):
        ProjectionMeasures(cells_of(expression, batch), space, ["a"]).measure(family, ["mmd"])


def test_cells_and_space_of_a_processed_experiment(processed):
    whole = anndata.read_h5ad(processed.folder.processed_file)
    marked = np.flatnonzero(whole.obs["for_mmd"].to_numpy(dtype=bool))
    measures = read_measures(processed.folder, batch_size=16)
    assert measures.targets == ("good", "poor")
    assert list(measures._cells.obs_names) == list(whole.obs_names[marked])
    points = (whole.X.toarray()[marked] - whole.var["mean_scaling"].to_numpy()) / whole.var["var_scaling"].to_numpy()
    actual = measures._space.points([measures._cells.X])
    np.testing.assert_allclose(actual, points @ whole.varm["PCs"], rtol=1e-4, atol=1e-4)
    assert measures._space.kernel_width == whole.uns["DISCERN"]["mmd_kernel"]["all"]
    few = read_measures(processed.folder, batch_size=16, at_most=4)
    assert few._cells.obs["batch"].value_counts().to_dict() == {"good": 4, "poor": 4}


def test_batches_that_cannot_be_checked(processed, tmp_path):
    with pytest.raises(DataError, match="'best' is no batch of the data. Found: good, poor"):
        read_measures(processed.folder, targets=["best"], batch_size=16)
    whole = anndata.read_h5ad(processed.folder.processed_file)
    whole.obs["for_mmd"] &= (whole.obs["batch"] == "good") | (np.cumsum(whole.obs["for_mmd"]) < 7)
    folder = type(processed.folder)(tmp_path)
    folder.processed_data.mkdir()
    whole.write_h5ad(folder.processed_file)
    with pytest.raises(DataError, match="at least 5 validation cells.*of all others together.*aim at 'loss'"):
        read_measures(folder, targets=["poor"], batch_size=16)
    del whole.varm["PCs"]
    whole.obs["for_mmd"] = True
    whole.write_h5ad(folder.processed_file)
    with pytest.raises(ExperimentError, match="lacks the principal components.*discern process --force"):
        read_measures(folder, batch_size=16)
