"""The callbacks a training section describes."""

import numpy as np
import pytest

from discern.errors import ExperimentError
from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.io.writing import write_h5ad
from discern.training.callbacks import create_callbacks
from discern.training.checkpoint_callback import SaveCheckpoints
from discern.training.checkpoints import Checkpoint
from discern.training.config import TrainingConfig
from discern.training.early_stopping import DelayedEarlyStopping
from discern.training.fit import fit
from discern.training.progress_line import ProgressLine
from discern.training.set_up import configured_callbacks, monitored_value
from discern.training.umap_callback import VisualisationCallback


def kinds(config, tmp_path, make_family, data):
    callbacks = configured_callbacks(config, ExperimentFolder(tmp_path), make_family(data))
    return [type(callback) for callback in callbacks]


def test_ordinary_training_draws_nothing_and_traces_nothing(tmp_path, make_family, data):
    expected = [DelayedEarlyStopping, SaveCheckpoints, ProgressLine]
    assert kinds(TrainingConfig(), tmp_path, make_family, data) == expected
    without = TrainingConfig.model_validate({"early_stopping": None})
    assert kinds(without, tmp_path, make_family, data) == expected[1:]


def test_monitored_value():
    assert monitored_value(TrainingConfig.model_validate({"early_stopping": None})) == "val_loss"
    section = {"early_stopping": {"monitor": "val_decoder_counts_loss"}}
    assert monitored_value(TrainingConfig.model_validate(section)) == "val_decoder_counts_loss"


def test_only_the_promised_files_are_written(tmp_path, make_family, data, sources_of):
    family = make_family(data, eager=True)
    callbacks = configured_callbacks(TrainingConfig(max_steps=1), ExperimentFolder(tmp_path), family)
    fit(family, *sources_of(data), batch_size=16, seed=0, epochs=range(1), callbacks=callbacks)
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["job/best_model.hdf5", "job/history.csv", "job/last_state.hdf5"]


def test_early_stopping_is_taken_up(tmp_path, make_family, data, sources_of):
    """Four epochs without improvement before the interruption and one after it."""
    config = TrainingConfig.model_validate({"max_steps": 20, "early_stopping": {"delay": 0, "patience": 5}})
    state = {"wait": 4, "best": 1e-9, "best_epoch": 1, "best_logs": {"val_loss": 1e-9}, "stopped": False}
    resumed = Checkpoint(6, 1e-9, state)
    family = make_family(data, eager=True)
    callbacks = configured_callbacks(config, ExperimentFolder(tmp_path), family, resumed)
    history = fit(family, *sources_of(data), batch_size=16, seed=0, epochs=range(6, 20), callbacks=callbacks)
    assert history.epoch == [6]
    assert not ExperimentFolder(tmp_path).best_model.exists()


@pytest.mark.parametrize("mode", ["min", "max"])
def test_mode_decides_which_weights_are_best(tmp_path, make_family, data, mode):
    config = TrainingConfig.model_validate({"early_stopping": {"mode": mode}})
    family = make_family(data)
    family.model.optimizer.build(family.model.trainable_variables)
    checkpoints = configured_callbacks(config, ExperimentFolder(tmp_path), family)[1]
    checkpoints.set_model(family.model)
    folder = ExperimentFolder(tmp_path)
    checkpoints.on_epoch_end(0, {"val_loss": 2.0})
    first = folder.best_model.stat().st_mtime_ns
    checkpoints.on_epoch_end(1, {"val_loss": 3.0})
    assert (folder.best_model.stat().st_mtime_ns > first) == (mode == "max")


@pytest.mark.parametrize(("most", "shown"), [(30, 30), (5000, 80)])
def test_pictures_read_only_the_cells_they_show(tmp_path, make_family, data, monkeypatch, most, shown):
    """The same cells as a sample of all cells in memory has."""
    write_h5ad(data, ExperimentFolder(tmp_path).processed_file)
    monkeypatch.setattr("discern.training.set_up._UMAP_CELLS", most)
    monkeypatch.setattr(DISCERNData, "from_folder", None)
    config = TrainingConfig.model_validate({"umap_every": 1, "batch_size": 16})
    (found,) = (
        one._data
        for one in configured_callbacks(config, ExperimentFolder(tmp_path), make_family(data))
        if isinstance(one, VisualisationCallback)
    )
    (expected,) = (one._data for one in create_callbacks(None, tmp_path, data, most))
    assert len(found) == shown
    assert list(found.obs_names) == list(expected.obs_names)
    assert found.batches == expected.batches
    np.testing.assert_array_equal(found.layers["counts"].toarray(), expected.layers["counts"].toarray())
    np.testing.assert_array_equal(found.zeros, expected.zeros)


def test_pictures_need_processed_cells(tmp_path, make_family, data):
    with pytest.raises(ExperimentError, match="Run `discern process` first"):
        configured_callbacks(TrainingConfig(umap_every=1), ExperimentFolder(tmp_path), make_family(data))
