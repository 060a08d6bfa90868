"""What the options of online training do to a whole experiment."""

import json
import shutil
import subprocess
import sys

import anndata
import numpy as np
import pytest

from discern.errors import DataError, ParametersError
from discern.io.cell_sources import RecordSource
from discern.io.data import DISCERNData
from discern.keys import BATCH, ESTIMATED_COUNTS, MEASURED
from discern.models.wae.family import WAEFamily
from discern.projection.targets import Target
from discern.training.checkpoints import load_family, read_description
from discern.training.fit import evaluate
from discern.training.set_up import configured_optimizer
from discern.workflows import online_training as workflow
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.online_training import train_online
from discern.workflows.project import project
from discern.workflows.train import train
from discern.workflows.undo import undo_online


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def decoded(experiment, batch) -> anndata.AnnData:
    [path] = project(experiment, [Target(BATCH, batch)])
    return anndata.read_h5ad(path)


def tables(path) -> dict[str, np.ndarray]:
    family = load_family(path)[0]
    return {variable.path: variable.numpy() for variable in family.variables_with_batch_axis()}


@pytest.fixture
def seen_training(monkeypatch):
    """Cells trained and validated on, and the panels of genes of the former."""
    seen = []

    def fit_and_see(family, train_cells, valid_cells, **how):
        panels = {int(one) for cells in train_cells.in_order(64) for one in cells.get("panel", [0])}
        seen.append((train_cells.n_cells, valid_cells.n_cells, panels))
        return fit(family, train_cells, valid_cells, **how)

    fit = workflow.fit
    monkeypatch.setattr(workflow, "fit", fit_and_see)
    return seen


def test_frozen_old_batches_decode_as_before_to_the_bit(experiment, input_paths):
    before = decoded(experiment, "input_b0")
    train_online(experiment, input_paths[2], freeze=True)
    after = decoded(experiment_of_folder(experiment.folder.path), "input_b0")[before.obs_names]
    np.testing.assert_array_equal(after.layers[ESTIMATED_COUNTS], before.layers[ESTIMATED_COUNTS])
    np.testing.assert_array_equal(after.obsm["X_DISCERN"], before.obsm["X_DISCERN"])
    new = tables(experiment.folder.best_model)
    assert all(np.abs(table[2]).max() > 0 for table in new.values())


def test_new_rows_may_start_from_the_mean_of_the_old_ones(experiment, input_paths, monkeypatch):
    train(experiment_of_folder(experiment.folder.path))
    content = json.loads(experiment.folder.parameters_file.read_text())
    content["training"]["optimizer"] = {"algorithm": "SGD", "learning_rate": 1e-30}
    content["training"]["online"] = {"new_rows": "mean"}
    experiment.folder.parameters_file.write_text(json.dumps(content))
    before = tables(experiment.folder.best_model)
    assert any(np.abs(table).max() > 0 for table in before.values())
    train_online(experiment_of_folder(experiment.folder.path), input_paths[2])
    for path, table in tables(experiment.folder.best_model).items():
        np.testing.assert_allclose(table[2], before[path].mean(axis=0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("replay", "share"), [(0.5, 0.5), pytest.param(1.0, 1, marks=pytest.mark.slow)])
def test_a_share_of_the_old_cells_is_trained_on_again(experiment, input_paths, reference, seen_training, replay, share):
    result = train_online(experiment, input_paths[2], replay=replay, max_steps=2)
    assert result.epochs == 2
    [(n_train, n_valid, panels)] = seen_training
    data = DISCERNData.from_folder(experiment.folder.path, 64)
    new = {split: len(data.cells_of(split)) - len(reference.cells_of(split)) for split in ("train", "valid")}
    assert n_train == pytest.approx(new["train"] + share * len(reference.cells_of("train")), abs=2)
    assert n_valid == pytest.approx(new["valid"] + share * len(reference.cells_of("valid")), abs=2)
    assert (result.n_cells, panels) == (sum(new.values()), {0})


@pytest.mark.slow
def test_genes_that_were_not_measured_train_and_project(experiment, query, tmp_path, seen_training):
    lacking = query.var_names[::10]
    query[:, ~query.var_names.isin(lacking)].copy().write_h5ad(tmp_path / "query.h5ad")
    result = train_online(experiment, tmp_path / "query.h5ad")
    data = DISCERNData.from_folder(experiment.folder.path, 64)
    missing = ~data.varm[MEASURED]["query"].to_numpy()
    assert set(data.var_names[missing]) == set(lacking) & set(data.var_names)
    assert result.genes["query"]["missing"] == missing.sum() > 0
    assert seen_training[0][2] == {1}
    written = decoded(experiment_of_folder(experiment.folder.path), "query")
    assert np.isfinite(written.layers[ESTIMATED_COUNTS]).all()
    train(experiment_of_folder(experiment.folder.path))


def test_too_few_genes_are_refused_below_the_chosen_overlap(experiment, query, tmp_path):
    query[:, : query.n_vars // 2].copy().write_h5ad(tmp_path / "query.h5ad")
    with pytest.raises(DataError, match="--min-gene-overlap"):
        train_online(experiment, tmp_path / "query.h5ad")
    assert train_online(experiment, tmp_path / "query.h5ad", min_gene_overlap=0.1).n_cells > 0


def test_one_cell_is_enough(experiment, query, tmp_path, caplog):
    query[[int(np.argmax((query.X > 0).sum(axis=1)))]].copy().write_h5ad(tmp_path / "query.h5ad")
    result = train_online(experiment, tmp_path / "query.h5ad", freeze=True)
    assert (result.n_cells, result.new_batches) == (1, ["query"])
    assert "too few new cells to validate on" in caplog.text
    written = decoded(experiment_of_folder(experiment.folder.path), "query")
    assert np.isfinite(written.layers[ESTIMATED_COUNTS]).all()


def test_several_files_may_name_their_batches(experiment, query, tmp_path):
    query.obs["donor"] = np.where(np.arange(query.n_obs) % 2, "odd", "even")
    parts = {tmp_path / "one.h5ad": query[::3], tmp_path / "two.h5ad": query[1::3]}
    for path, part in parts.items():
        part.copy().write_h5ad(path)
    result = train_online(experiment, dict.fromkeys(parts, "donor"))
    assert sorted(result.new_batches) == ["even", "odd"]
    raw_input = json.loads(experiment.folder.parameters_file.read_text())["input_ds"]["raw_input"]
    assert [raw_input[str(path)] for path in parts] == ["donor", "donor"]
    data = DISCERNData.from_folder(experiment.folder.path, 64)
    assert list(data.obs["dataset"].cat.categories)[-2:] == ["one", "two"]


@pytest.mark.slow
def test_three_rounds_have_the_cells_and_labels_of_one(experiment, query, tmp_path):
    names = ["first", "second", "third"]
    query.obs["batch"] = np.array(names)[np.arange(query.n_obs) % 3]
    for name in names:
        query[query.obs["batch"] == name].copy().write_h5ad(tmp_path / f"{name}.h5ad")
    at_once = experiment_of_folder(shutil.copytree(experiment.folder.path, tmp_path / "at_once"))
    train_online(at_once, [tmp_path / f"{name}.h5ad" for name in names])
    for name in names:
        train_online(experiment_of_folder(experiment.folder.path), tmp_path / f"{name}.h5ad")
    mine, others = (DISCERNData.from_folder(one.folder.path, 64) for one in (experiment, at_once))
    assert mine.batches == others.batches
    assert mine.shape == others.shape
    assert list(mine.obs_names) == list(others.obs_names)
    assert list(mine.obs["batch"].astype(str)) == list(others.obs["batch"].astype(str))
    np.testing.assert_array_equal(mine.layers["counts"].toarray(), others.layers["counts"].toarray())
    np.testing.assert_array_equal(mine.X.toarray(), others.X.toarray())
    assert mine.config["total_count"] == others.config["total_count"]
    assert read_description(experiment.folder.best_model)[2].n_batches == 5


@pytest.mark.slow
def test_training_on_all_cells_starts_from_the_loss_of_the_widened_model(experiment, input_paths):
    train_online(experiment, input_paths[2])
    folder = experiment.folder
    family = load_family(folder.best_model)[0]
    family.compile(configured_optimizer(experiment.config.training), False)
    valid = RecordSource(folder.tfrecords, "validate")
    expected = evaluate(family, valid, 64, experiment.config.training.seed)["val_loss"]
    assert read_description(folder.last_state)[3].monitored == expected


def test_undo_takes_everything_back(experiment, input_paths):
    before = contents(experiment.folder.path)
    train_online(experiment, input_paths[2])
    undo_online(experiment_of_folder(experiment.folder.path))
    after = contents(experiment.folder.path)
    assert {path: after[path] for path in before} == before
    assert {path.split("/")[0] for path in set(after) - set(before)} == {"backup"}


def test_options_out_of_range_are_refused(experiment, input_paths):
    with pytest.raises(ParametersError, match=r"training\.online\.replay"):
        train_online(experiment, input_paths[2], replay=2)
    with pytest.raises(ParametersError, match=r"training\.online\.freeze_mode"):
        train_online(experiment, input_paths[2], freeze_mode="some")


def test_the_command_adds_and_undoes(experiment, input_paths):
    parameters, before = experiment.folder.parameters_file, contents(experiment.folder.path)

    def discern(*options):
        command = [sys.executable, "-m", "discern", "onlinetraining", str(parameters), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    done = discern("--filename", str(input_paths[2]), "--freeze", "--replay", "0.1")
    assert done.returncode == 0, done.stderr
    assert "cells added" in done.stderr
    assert "found" in done.stderr
    done = discern("--undo")
    assert done.returncode == 0, done.stderr
    after = contents(experiment.folder.path)
    assert {path: after[path] for path in before if "provenance" not in path} == {
        path: content for path, content in before.items() if "provenance" not in path
    }
    steps = json.loads(experiment.folder.provenance.read_text())["steps"]
    assert [step["step"] for step in steps[-2:]] == ["onlinetraining", "undo"]
    for wrong in ([], ["--undo", "--freeze"], ["--filename", "x", "--freeze", "--freeze-mode", "none"]):
        assert discern(*wrong).returncode == 2


def test_doubts_are_those_of_the_weights_that_are_kept(experiment, input_paths, monkeypatch, caplog):
    monkeypatch.setattr(WAEFamily, "doubts", lambda self, epoch: [f"doubtful in epoch {epoch['epoch']:.0f}"])
    train_online(experiment, input_paths[2], freeze=True)
    best = read_description(experiment.folder.best_model)[3].epoch
    assert f"{experiment.name}: doubtful in epoch {best}" in caplog.text
