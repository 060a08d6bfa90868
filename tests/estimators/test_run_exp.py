"""The published functions that run one experiment of a folder."""

import logging
from queue import SimpleQueue

import anndata
import pandas as pd
import pytest

from discern.errors import DataError, ExperimentError
from discern.estimators import DISCERNRunner
from discern.estimators.batch_integration import DISCERN
from discern.estimators.run_exp import (
    CheckMetaData,
    run_exp_multiprocess,
    run_projection,
    run_train,
    setup_exp,
)
from discern.training import devices


def test_all_batches_and_metadata_are_projected(trained_folder):
    paths = run_projection(trained_folder, [("batch", "high"), ["celltype", ""]], None, True, True)
    assert sorted(path.name for path in (trained_folder / "projected").iterdir()) == [
        "projected_to_average_batch_high.h5ad",
        "projected_to_average_batch_low.h5ad",
        "projected_to_average_celltype.h5ad",
    ]
    assert len(paths) == 3
    projected = anndata.read_h5ad(paths[0])
    assert set(projected.obsm) == {"X_DISCERN", "X_DISCERN_sigma"}
    assert projected.n_obs == 160


def test_training_leaves_the_best_model_and_the_last_state(trained_folder):
    assert {"best_model.hdf5", "last_state.hdf5"} <= {path.name for path in (trained_folder / "job").iterdir()}


def test_training_from_another_folder_of_records(exp_folder, tmp_path):
    (exp_folder / "TF_records").rename(tmp_path / "elsewhere")
    run_train(exp_folder, tmp_path / "elsewhere")
    assert (exp_folder / "job" / "best_model.hdf5").is_file()


def test_cells_of_another_file_are_projected(trained_folder, tmp_path):
    data = anndata.read_h5ad(trained_folder / "processed_data" / "concatenated_data.h5ad")
    data[:30].copy().write_h5ad(tmp_path / "part.h5ad")
    (path,) = run_projection(trained_folder, [], tmp_path / "part.h5ad", False, False)
    assert path.name == "unprojected.h5ad"
    assert list(anndata.read_h5ad(path).obs_names) == list(data.obs_names[:30])


def test_projection_needs_a_trained_model(exp_folder):
    with pytest.raises(ExperimentError, match="has no trained model. Run `discern train"):
        run_projection(exp_folder, [], None, False, False)


def test_setting_up_gives_the_configured_estimator(exp_folder, parameters):
    model, content = setup_exp(exp_folder)
    assert isinstance(model, DISCERN)
    assert content == parameters
    assert model.wae_model is None
    assert model.config.model.latent_dim == 4


def test_the_runner_takes_folders(exp_folder):
    (outcome,) = DISCERNRunner(debug=True, gpus=[])("train", [exp_folder])
    assert (outcome.name, outcome.exit_code, outcome.result.epochs) == ("experiment", 0, 2)


def test_the_code_tells_success(tmp_path):
    seen = []
    code = run_exp_multiprocess(tmp_path, None, lambda folder, **kwargs: seen.append((folder, kwargs)), {"a": 1})
    assert code == 0
    assert seen == [(tmp_path, {"a": 1})]


@pytest.mark.parametrize("error", [DataError("no such batch"), ZeroDivisionError("a defect")])
def test_the_code_tells_failure_and_the_log_why(tmp_path, error, caplog):
    def fail(folder):
        raise error

    with caplog.at_level(logging.ERROR):
        assert run_exp_multiprocess(tmp_path, None, fail) == 1
    assert str(error) in caplog.text
    assert str(tmp_path) in caplog.text
    assert ("Traceback" in caplog.text) == isinstance(error, ZeroDivisionError)


@pytest.mark.parametrize("work", [lambda folder: None, lambda folder: 1 / 0])
def test_one_gpu_is_held_while_the_work_runs(tmp_path, monkeypatch, work):
    chosen, was_held, gpus = [], [], SimpleQueue()
    gpus.put(3)
    monkeypatch.setattr(devices, "set_gpu_and_threads", lambda n_threads, gpus: chosen.append(gpus))

    def func(folder):
        was_held.append(gpus.empty())
        work(folder)

    run_exp_multiprocess(tmp_path, gpus, func)
    assert (chosen, was_held) == ([[3]], [True])
    assert gpus.get_nowait() == 3


@pytest.fixture
def metadata():
    return CheckMetaData(pd.DataFrame({"batch": ["x", "y"], "tissue": ["lung", None]}))


@pytest.mark.parametrize("column_value", [["batch", "x"], ("tissue", "lung"), ["batch", ""], ["batch", None]])
def test_metadata_that_occur_are_accepted(metadata, column_value):
    assert metadata.check(column_value) is None


@pytest.mark.parametrize(
    ("column_value", "message"),
    [
        (["organ", "x"], "Column 'organ' is missing from obs"),
        (["batch", "z"], "'z' does not occur"),
        (["tissue", ""], "1 of 2 cells have no value"),
    ],
)
def test_other_metadata_are_refused(metadata, column_value, message):
    with pytest.raises(DataError, match=message):
        metadata.check(column_value)
