import copy
import json
import shutil
from dataclasses import replace
from functools import partial

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError, ExperimentError
from discern.evaluation.measures import DISTRIBUTION, HIDDEN_TRUTH, REFERENCE
from discern.evaluation.other_estimates import OtherEstimate
from discern.evaluation.table import read_evaluation
from discern.preprocessing.config import SplitConfig
from discern.workflows.evaluate import evaluate as evaluate_and_report
from discern.workflows.experiment import read_experiments
from discern.workflows.process import process
from discern.workflows.thinned import require_halves
from discern.workflows.train import train

evaluate = partial(evaluate_and_report, report=False)
N_CELLS, N_GENES = 360, 80
EXPERIMENT = {
    "input_ds": {
        "filtering": {"min_genes": 5, "min_cells": 3},
        "scale": {"LSN": 1000, "fixed_scaling": {"mean": "genes", "var": "genes"}},
        "n_cpus_preprocessing": 1,
    },
    "model": {"latent_dim": 2, "encoder": {"layers": [8]}, "decoder": {"layers": [8]}},
    "training": {"batch_size": 32, "max_steps": 1, "GPU": [], "parallel_pc": 0, "XLA": False},
}


def typed_cells():
    """Cells of two types; the batch ``poor`` has a quarter of the counts of ``good``."""
    rng = np.random.default_rng(0)
    types = np.arange(N_CELLS) % 2
    good = np.arange(N_CELLS) % 3 > 0
    rates = np.random.default_rng(1).gamma(2.0, 2.0, (2, N_GENES))
    counts = rng.poisson(rates[types] * np.where(good, 1.0, 0.25)[:, None])
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(np.where(good, "good", "poor")),
            "kind": pd.Categorical(np.where(types, "T", "B")),
        },
        index=[f"cell{number}" for number in range(N_CELLS)],
    )
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(N_GENES)])
    return AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    """Growing forests of full size takes most of the time of an evaluation."""
    monkeypatch.setattr("discern.evaluation.distribution._N_TREES", 5)


@pytest.fixture
def quick_umap(monkeypatch):
    """Coordinates are the first two features: nothing has to be compiled."""
    monkeypatch.setattr("discern.evaluation.shown_cells.umap_coordinates", lambda features, seed: features[:, :2])


def trained_experiment(folder, adata):
    """Return a trained experiment of a tiny network."""
    adata.write_h5ad(folder / "cells.h5ad")
    content = copy.deepcopy(EXPERIMENT)
    content["input_ds"]["raw_input"] = [str(folder / "cells.h5ad")]
    parameters = {"exp_param": {"experiments_dir": str(folder / "exps")}, "experiments": {"run": content}}
    (folder / "parameters.json").write_text(json.dumps(parameters))
    one = read_experiments(folder / "parameters.json")[0]
    process(one, with_tfrecords=False)
    train(one)
    return one


@pytest.fixture(scope="module")
def once_trained(tmp_path_factory):
    return trained_experiment(tmp_path_factory.mktemp("trained"), typed_cells())


@pytest.fixture
def trained(once_trained):
    """A trained experiment of two batches, column ``kind``, that was not evaluated."""
    shutil.rmtree(once_trained.folder.evaluation, ignore_errors=True)
    return once_trained


def columns_with(frame, measure):
    return set(frame.columns[frame.loc[measure].notna()]) - {"group", "better", "ideal", "best"}


def test_everything_is_scored_with_labels(trained):
    paths = evaluate(trained, labels="kind", n_cells=240)
    assert paths == [trained.folder.evaluation / "metrics.json", trained.folder.evaluation / "metrics.csv"]
    found = read_evaluation(paths[0])
    assert (found.facts["target"], found.facts["labels"], found.facts["types"]) == ("good", "kind", ["B", "T"])
    assert (found.facts["n_cells"], found.facts["n_reference_cells"], found.facts["n_genes"]) == (120, 60, N_GENES)
    frame = found.frame()
    assert {REFERENCE, DISTRIBUTION} <= set(frame["group"])
    assert columns_with(frame, "type_mean_correlation") == columns_with(frame, "mmd") == {
        "target split half",
        "reconstructed",
        "own counts",
        "zeros drawn",
        "as measured",
        "neighbours",
        "ComBat",
        "target mean",
        "target type means",
    }  # fmt: skip
    best = found.scores["target split half"]
    assert best["classifier_auc_all_cells"] == pytest.approx(0.5, abs=0.15)
    assert best["type_mean_correlation"] > 0.9 > found.scores["target mean"]["type_mean_correlation"]
    assert found.scores["as measured"]["zero_fraction_error"] > 2 * best["zero_fraction_error"]
    assert found.scores["target type means"]["fold_change_correlation"] > 0.95


def test_the_same_seed_gives_the_same_files_and_labels_do_not_touch_the_model(trained):
    model = trained.folder.best_model.read_bytes()
    first = [path.read_bytes() for path in evaluate(trained, labels="kind", n_cells=200)]
    assert first == [path.read_bytes() for path in evaluate(trained, labels="kind", n_cells=200)]
    other = evaluate(trained.with_seed(5), labels="kind", n_cells=200)[0]
    assert first[0] != other.read_bytes()
    assert trained.folder.best_model.read_bytes() == model


def test_without_labels_rows_by_type_are_left_out_and_the_table_says_so(trained):
    found = read_evaluation(evaluate(trained)[0])
    assert REFERENCE not in {measure.group for measure in found.measures()}
    assert {"mmd_all_cells", "classifier_auc_all_cells"} <= set(found.frame().index)
    assert "target type means" not in {method.name for method in found.methods}
    assert any("Name their column with --labels" in note for note in found.notes)


def test_other_estimates_are_scored_like_ours(trained, tmp_path):
    processed = anndata.read_h5ad(trained.folder.processed_file)
    AnnData(processed.X, obs=processed.obs[[]], var=processed.var[[]])[:, ::-1].copy().write_h5ad(
        tmp_path / "same.h5ad"
    )
    found = read_evaluation(
        evaluate(trained, labels="kind", compare=[OtherEstimate("tool", tmp_path / "same.h5ad")])[0]
    )
    tool, measured = found.scores["tool"], found.scores["as measured"]
    assert tool == pytest.approx(measured)
    assert {method.name: method.role for method in found.methods}["tool"] == "estimate"


def test_genes_that_another_estimate_lacks_are_left_out_for_all(trained, tmp_path):
    processed = anndata.read_h5ad(trained.folder.processed_file)
    few = processed[:, :30]
    AnnData(few.X, obs=few.obs[[]], var=few.var[[]]).write_h5ad(tmp_path / "few.h5ad")
    found = read_evaluation(evaluate(trained, compare=[OtherEstimate("tool", tmp_path / "few.h5ad")])[0])
    assert found.facts["n_genes"] == 30
    few.var_names = [f"other{number}" for number in range(30)]
    AnnData(few.X, obs=few.obs[[]], var=few.var[[]]).write_h5ad(tmp_path / "none.h5ad")
    with pytest.raises(DataError, match="has no gene of the processed data"):
        evaluate(trained, compare=[OtherEstimate("tool", tmp_path / "none.h5ad")])


def test_names_of_other_estimates_are_not_taken(trained, tmp_path):
    for names in (["ComBat"], ["tool", "tool"]):
        with pytest.raises(DataError, match="is the name of another column"):
            evaluate(trained, compare=[OtherEstimate(name, tmp_path / "absent.h5ad") for name in names])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "best"}, "'best' is no batch of these cells. Found: good, poor"),
        ({"labels": "type"}, "Column 'type' is missing from obs. Found: batch"),
        ({"n_cells": 12}, "Raise --cells"),
    ],
)
def test_what_cannot_be_compared_is_refused(trained, arguments, message):
    with pytest.raises(DataError, match=message):
        evaluate(trained, **arguments)
    assert not trained.folder.evaluation.exists()


def test_halves_too_small_to_split_are_refused_before_anything_is_compared(trained, monkeypatch):
    split = trained.config.input_ds.split.model_copy(update={"valid_cells": 0.008})  # one of 240, none of 120
    input_ds = trained.config.input_ds.model_copy(update={"split": split})
    other = replace(trained, config=trained.config.model_copy(update={"input_ds": input_ds}))
    monkeypatch.setattr("discern.workflows.evaluate.compare_with_reference", lambda *_: pytest.fail("was compared"))
    with pytest.raises(DataError, match=r"--thin 0.3 makes two batches of the 240 cells of 'good'.*'good \(thinned\)'"):
        evaluate(other, thin=0.3)
    assert not trained.folder.evaluation.exists()


@pytest.mark.parametrize(("n_cells", "valid_cells", "fits"), [(18, 0.1, False), (20, 0.1, True), (21, 0.1, True)])
def test_halves_fit_where_a_tenth_of_each_is_a_cell(n_cells, valid_cells, fits):
    batches = np.array(["few"] * n_cells + ["many"] * 90)
    check = partial(require_halves, batches, "few", 0.2, SplitConfig(valid_cells=valid_cells))
    if fits:
        check()
    else:
        with pytest.raises(DataError, match=r"18 cells of 'few'.*'few \(thinned\)' \(9 cells\).*without --thin"):
            check()


def test_a_report_of_other_metrics_goes_when_metrics_are_replaced(trained):
    folder = trained.folder.evaluation
    folder.mkdir()
    older = [folder / "report.html", folder / "zeros.csv"]
    for path in older:
        path.write_text("older")
    with pytest.raises(DataError):
        evaluate(trained, target="best")
    assert all(path.exists() for path in older)
    evaluate(trained, n_cells=100)
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.csv", "metrics.json"]


def test_an_experiment_without_model_is_refused(experiment):
    with pytest.raises(ExperimentError, match="has no trained model"):
        evaluate(experiment())


def test_hidden_counts_are_recovered_in_a_sub_experiment_that_is_kept(trained):
    found = read_evaluation(evaluate(trained, labels="kind", thin=0.3)[0])
    assert (trained.folder.evaluation / "thinned" / "parameters.json").is_file()
    rows = {measure.name for measure in found.measures() if measure.group == HIDDEN_TRUTH}
    assert rows == {"gene_correlation", "cell_correlation", "squared_error", "variance_ratio"}
    assert found.facts["n_thinned_cells"] == 120
    scores = found.scores
    assert scores["target type means"]["gene_correlation"] > scores["as measured"]["gene_correlation"] > 0.1
    assert "gene_correlation" not in scores["target split half"]


@pytest.mark.slow
def test_a_sub_experiment_is_kept_while_nothing_changes(trained):
    evaluate(trained, thin=0.3)
    model = trained.folder.evaluation / "thinned" / "job" / "best_model.hdf5"
    first = model.stat().st_mtime_ns
    evaluate(trained, thin=0.3)
    assert model.stat().st_mtime_ns == first  # nothing was left to train
    evaluate(trained, thin=0.5)
    assert model.stat().st_mtime_ns != first
    assert json.loads((trained.folder.evaluation / "thinned" / "thinned.json").read_text())["keep"] == 0.5


@pytest.mark.slow
def test_what_was_thinned_and_what_was_taken_away_are_the_counts(trained):
    from discern.workflows.thinned import train_thinned

    thinned = train_thinned(trained, "good", 0.3, None)
    raw, before = anndata.read_h5ad(thinned.counts_file), typed_cells()
    assert list(raw.obs.columns) == ["batch"]
    of_batch = raw.obs["batch"].value_counts()
    assert dict(of_batch) == {"good": 120, "good (thinned)": 120, "poor": 120}
    total = (raw.X + raw.layers["hidden"]).toarray()
    np.testing.assert_array_equal(total, before[raw.obs_names, raw.var_names].X.toarray())
    chosen = (raw.obs["batch"] == "good (thinned)").to_numpy()
    assert raw.layers["hidden"][~chosen].nnz == 0
    assert raw.X[chosen].sum() / total[chosen].sum() == pytest.approx(0.3, abs=0.02)
    cells, genes = raw.obs_names[chosen][[5, 2]], raw.var_names[[7, 3]]
    np.testing.assert_array_equal(thinned.hidden(cells, genes).toarray(), raw[cells, genes].layers["hidden"].toarray())


@pytest.mark.slow
def test_one_batch_has_hidden_counts_only(tmp_path, quick_umap):
    adata = typed_cells()
    adata.obs["batch"] = pd.Categorical(["only"] * N_CELLS)
    one = trained_experiment(tmp_path, adata)
    with pytest.raises(DataError, match="--thin FRACTION"):
        evaluate(one)
    paths = evaluate_and_report(one, thin=0.4)
    page = paths[-1].read_text(encoding="utf-8")
    assert "only (thinned)" in page
    assert "360 cells, 180 of them from only" in page
    found = read_evaluation(paths[0])
    assert {measure.group for measure in found.measures()} == {HIDDEN_TRUTH}
    assert any("one batch only" in note for note in found.notes)


def test_the_report_is_written_beside_the_metrics(trained, quick_umap):
    paths = evaluate_and_report(trained, labels="kind", n_cells=200)
    assert [path.name for path in paths] == ["metrics.json", "metrics.csv", "zeros.csv", "report.html"]
    page = paths[-1].read_text(encoding="utf-8")
    assert "run, decoded into good" in page
    assert "A random sample of 360 cells, 240 of them from good" in page
    assert page.count("<figure>") == 6 + 4 + 3 + 5
    losses = pd.read_csv(trained.folder.history)
    assert f"lowest {losses['val_loss'].min():.4g} in epoch 1" in page
    assert [path.read_bytes() for path in evaluate_and_report(trained, labels="kind", n_cells=200)] == [
        path.read_bytes() for path in paths
    ]


def test_the_report_shows_what_projection_gives(trained, quick_umap):
    from discern.evaluation.shown_cells import shown_cells
    from discern.io.processed_cells import open_own_cells
    from discern.plotting.zeros import calibration_of
    from discern.projection.targets import Target
    from discern.workflows.project import project, trained_family

    projected = anndata.read_h5ad(project(trained, [Target("batch", "good")])[0])
    with open_own_cells(trained.folder, 32) as cells:
        shown = shown_cells(trained_family(trained), cells, "good", "kind", 0)
    good = (projected.obs["batch"] == "good").to_numpy()
    estimates = projected.layers["estimated_counts"].astype(np.float64)
    np.testing.assert_allclose(shown.decoding.total, np.expm1(estimates).sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(shown.decoding.latent, projected.obsm["X_DISCERN"], atol=1e-5)
    probability = projected.layers["estimated_dropouts"].astype(np.float64)
    np.testing.assert_allclose(shown.decoding.expected_zeros, 1 - probability[good].mean(axis=0), rtol=1e-5)
    seen = projected.raw.X.toarray() > 0
    np.testing.assert_allclose(shown.decoding.observed_zeros, 1 - seen[good].mean(axis=0), rtol=1e-6)
    expected = calibration_of(projected)
    assert shown.decoding.calibration["n"].sum() == expected["n"].sum() == good.sum() * projected.n_vars
    overall = [np.average(table["probability"], weights=table["n"]) for table in (shown.decoding.calibration, expected)]
    assert overall[0] == pytest.approx(overall[1], rel=1e-5)
    assert list(shown.types.cat.categories) == ["B", "T"]
    assert set(shown.markers.table["type"]) == {"B", "T"}


def test_genes_that_were_not_measured_are_not_counted_as_zeros(trained, quick_umap):
    from discern.evaluation.shown_decoding import decode
    from discern.io.processed_cells import ProcessedCells, open_own_cells
    from discern.workflows.project import trained_family

    with open_own_cells(trained.folder, 32) as cells:
        data = cells.sample(40)
    data.obs["dataset"] = pd.Categorical(np.where(np.arange(40) % 2, "all", "few"))
    measured = np.ones(data.n_vars, dtype=bool)
    measured[3] = False
    data.varm["measured"] = pd.DataFrame({"few": measured}, index=data.var_names)
    everywhere = np.ones(40, dtype=bool)
    found = decode(trained_family(trained), ProcessedCells.of(data), "good", np.arange(5), everywhere)
    counts = data.layers["counts"].toarray()
    assert found.observed_zeros[3] == pytest.approx((counts[1::2, 3] == 0).mean())
    assert found.observed_zeros[4] == pytest.approx((counts[:, 4] == 0).mean())
    assert found.calibration["n"].sum() == counts.size - 20


def test_without_labels_there_is_a_report_too(trained, quick_umap):
    page = evaluate_and_report(trained, n_cells=200)[-1].read_text(encoding="utf-8")
    assert "No marker genes" in page
    assert page.count("<figure>") == 3 + 4 + 5
