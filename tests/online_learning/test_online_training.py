import shutil
from dataclasses import replace

import anndata
import numpy as np
import pytest

from discern.errors import DataError, DivergenceError, ExperimentError
from discern.io.data import DISCERNData
from discern.io.processed_annotation import read_annotation
from discern.io.record_schema import RecordSchema
from discern.keys import BATCH
from discern.models.contract import DataDescription
from discern.online_learning import online_training, resuming
from discern.projection.targets import Target
from discern.training import resumable
from discern.training.checkpoint_callback import read_history
from discern.training.checkpoints import load_family, read_description
from discern.workflows import online_training as workflow
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.online_training import train_online
from discern.workflows.project import project
from discern.workflows.train import train

ALL = ["input_b0", "input_b1", "input_b2"]


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def weights(path) -> dict[str, np.ndarray]:
    return {variable.path: variable.numpy() for variable in load_family(path)[0].model.weights}


@pytest.fixture(scope="module")
def extended_folder(tmp_path_factory, trained_folder, input_paths):
    """The trained experiment after online training with the third input; not to be changed."""
    folder = shutil.copytree(trained_folder, tmp_path_factory.mktemp("extended") / "run")
    return folder, train_online(experiment_of_folder(folder), input_paths[2])


@pytest.fixture
def extended(tmp_path, extended_folder):
    """A copy of the extended experiment, and what online training returned."""
    folder, result = extended_folder
    return experiment_of_folder(shutil.copytree(folder, tmp_path / "extended")), result


def test_the_folder_describes_old_and_new_cells(extended, reference, input_paths, trained_folder):
    experiment, result = extended
    folder = experiment.folder
    data = DISCERNData.from_folder(folder.path, 64)
    assert data.batches == ALL
    assert data.n_obs == reference.n_obs + result.n_cells == data.config["total_count"]
    assert result.new_batches == ["input_b2"]
    assert result.epochs == 1
    schema = RecordSchema.read(folder.tfrecords)
    schema.check(data.var_names, ALL)
    assert schema.cells_sha256 == read_annotation(folder.processed_file).cells_sha256 != ""
    assert schema.n_cells("training") == data.config["total_train_count"]
    assert schema.n_cells("validate") == data.config["total_valid_count"]
    for checkpoint in (folder.best_model, folder.last_state):
        description: DataDescription = read_description(checkpoint)[2]
        assert description.batches == tuple(ALL)
        assert description.n_train_cells == data.config["total_train_count"]
    assert experiment.config.input_ds.raw_input == [str(path.absolute()) for path in input_paths]
    assert contents(folder.backup / "1") == contents(trained_folder)
    assert not list(folder.path.glob(".*"))


def test_train_goes_on_with_all_cells_from_the_widened_weights(extended, monkeypatch):
    experiment, _ = extended
    seen = {}

    def fit_and_see(family, train_cells, *args, **kwargs):
        seen["weights"] = {variable.path: variable.numpy() for variable in family.model.weights}
        seen["n_cells"] = train_cells.n_cells
        return fit(family, train_cells, *args, **kwargs)

    fit = resumable.fit
    monkeypatch.setattr(resumable, "fit", fit_and_see)
    expected = weights(experiment.folder.best_model)
    assert train(experiment).epochs == 1
    data = DISCERNData.from_folder(experiment.folder.path, 64)
    assert seen["n_cells"] == data.config["total_train_count"]
    assert {row["epoch"] for row in read_history(experiment.folder.history)} == {"1"}
    assert set(seen["weights"]) == set(expected)
    for path, value in expected.items():
        np.testing.assert_array_equal(seen["weights"][path], value)


def test_epochs_that_are_all_worse_leave_the_model_of_the_online_training(experiment, input_paths, monkeypatch, caplog):
    caplog.set_level("INFO", logger="discern")
    monkeypatch.setattr(resuming, "_on_all_cells", lambda *_: -1e9)
    train_online(experiment, input_paths[2])
    model = experiment.folder.best_model.read_bytes()
    result = train(experiment_of_folder(experiment.folder.path))
    assert (result.epochs, result.best) == (1, -1e9)
    assert "1 epoch, none with a better val_loss than the model of the online training, which is kept" in caplog.text
    assert experiment.folder.best_model.read_bytes() == model


def test_cells_are_projected_to_old_and_new_batches(extended):
    experiment, result = extended
    paths = project(experiment, [Target(BATCH, "input_b0"), Target(BATCH, "input_b2")])
    n_cells = DISCERNData.from_folder(experiment.folder.path, 64).n_obs
    for path in paths:
        assert anndata.read_h5ad(path).n_obs == n_cells


def test_a_second_round_adds_to_the_first(extended, query):
    experiment, _ = extended
    query.obs["batch"] = np.array(["input_b1", "fourth"])[np.arange(query.n_obs) % 2]
    query.write_h5ad(experiment.folder.path.parent / "more.h5ad")
    model_before = experiment.folder.best_model.read_bytes()
    result = train_online(experiment, experiment.folder.path.parent / "more.h5ad")
    assert result.new_batches == ["fourth"]
    data = DISCERNData.from_folder(experiment.folder.path, 64)
    assert data.batches == [*ALL, "fourth"]
    assert data.obs_names.is_unique
    assert experiment.folder.backups[-1].best_model.read_bytes() == model_before
    assert load_family(experiment.folder.best_model)[0].data.n_batches == 4


def test_frozen_training_changes_only_the_label_kernels(experiment, input_paths):
    folder = experiment.folder
    before = weights(folder.best_model)
    assert online_training(folder.path, input_paths[2], True).new_batches == ["input_b2"]
    family = load_family(folder.best_model)[0]
    kernels = {variable.path for variable in family.variables_with_batch_axis()}
    after = weights(folder.best_model)
    for path, value in before.items():
        if path in kernels:
            assert after[path].shape[0] == 3
            assert np.abs(after[path][2]).max() > 0
        else:
            np.testing.assert_array_equal(after[path], value)
    # nothing stays frozen, and the state can be taken up
    assert train(experiment_of_folder(folder.path)).epochs == 1
    trained = weights(folder.best_model)
    assert all(not np.array_equal(trained[path], value) for path, value in after.items())


def test_a_known_batch_again_adds_cells_but_no_label(experiment, input_paths, reference, query, tmp_path):
    query.obs["batch"] = "input_b1"
    query.write_h5ad(tmp_path / "more.h5ad")
    result = train_online(experiment, tmp_path / "more.h5ad")
    assert result.new_batches == []
    data = DISCERNData.from_folder(experiment.folder.path, 64)
    assert data.batches == ["input_b0", "input_b1"]
    n_before = (reference.obs["batch"] == "input_b1").sum()
    assert (data.obs["batch"] == "input_b1").sum() == n_before + result.n_cells
    assert experiment_of_folder(experiment.folder.path).config.input_ds.raw_input == [
        str(path) for path in (*input_paths[:2], tmp_path / "more.h5ad")
    ]


def test_the_same_cells_again_are_refused(experiment, input_paths):
    before = contents(experiment.folder.path)
    with pytest.raises(DataError, match="already part of the experiment"):
        train_online(experiment, input_paths[1])
    assert contents(experiment.folder.path) == before


@pytest.mark.slow
def test_genes_in_another_order_train_the_same(experiment, shuffled_genes, tmp_path, extended_folder):
    (tmp_path / "other").mkdir()
    shuffled_genes.write_h5ad(tmp_path / "other" / "input_b2.h5ad")
    train_online(experiment, tmp_path / "other" / "input_b2.h5ad")
    expected = weights(extended_folder[0] / "job" / "best_model.hdf5")
    for path, value in weights(experiment.folder.best_model).items():
        np.testing.assert_allclose(value, expected[path], rtol=1e-5, atol=1e-6)


def test_an_experiment_without_records_gets_none(experiment, input_paths):
    shutil.rmtree(experiment.folder.tfrecords)
    train_online(experiment, input_paths[2])
    assert not experiment.folder.tfrecords.exists()
    assert DISCERNData.from_folder(experiment.folder.path, 64).batches == ALL


@pytest.mark.parametrize("step", ["join_on_disk", "ready_to_resume"])
def test_an_interrupted_run_leaves_everything_as_it_was(experiment, input_paths, monkeypatch, step):
    before, original = contents(experiment.folder.path), getattr(workflow, step)

    def interrupted(*args, **kwargs):
        original(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_online(experiment, input_paths[2])
    assert contents(experiment.folder.path) == before
    assert not list(experiment.folder.path.glob(".*"))


def test_a_fault_in_training_leaves_everything_as_it_was(experiment, input_paths, monkeypatch):
    before = contents(experiment.folder.path)

    def diverging(*args, **kwargs):
        raise DivergenceError("not finite")

    monkeypatch.setattr(workflow, "fit", diverging)
    with pytest.raises(DivergenceError):
        train_online(experiment, input_paths[2])
    assert contents(experiment.folder.path) == before


def test_freezing_without_a_new_batch_is_refused(experiment, query, tmp_path):
    query.obs["batch"] = "input_b1"
    query.write_h5ad(tmp_path / "more.h5ad")
    before = contents(experiment.folder.path)
    with pytest.raises(DataError, match="nothing is left to train"):
        train_online(experiment, tmp_path / "more.h5ad", freeze=True)
    assert contents(experiment.folder.path) == before


def test_an_untrained_experiment_is_refused(experiment, input_paths):
    experiment.folder.best_model.unlink()
    with pytest.raises(ExperimentError, match="has no trained model"):
        train_online(experiment, input_paths[2])


def test_a_model_of_other_parameters_is_refused(experiment, input_paths):
    model = experiment.config.model.model_copy(update={"wae_lambda": 1.0})
    other = replace(experiment, config=experiment.config.model_copy(update={"model": model}))
    with pytest.raises(ExperimentError, match="another model than the parameters describe"):
        train_online(other, input_paths[2])


def test_a_model_of_other_data_is_refused(experiment, input_paths):
    data = DISCERNData.from_folder(experiment.folder.path, 64)
    data.var["mean_scaling"] += 0.1
    data.write_h5ad(experiment.folder.processed_file)
    with pytest.raises(ExperimentError, match="trained on other data"):
        train_online(experiment, input_paths[2])
