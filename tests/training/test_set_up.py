"""The callbacks a training section describes."""

import pytest

from discern.io.experiment_folder import ExperimentFolder
from discern.training.checkpoint_callback import SaveCheckpoints
from discern.training.checkpoints import Checkpoint
from discern.training.config import TrainingConfig
from discern.training.early_stopping import DelayedEarlyStopping
from discern.training.fit import fit
from discern.training.progress_line import ProgressLine
from discern.training.set_up import configured_callbacks, monitored_value


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
