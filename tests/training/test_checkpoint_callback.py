"""What an experiment folder holds after every epoch."""

import csv
import math
from types import SimpleNamespace

import pytest

from discern.errors import DivergenceError, ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.training.checkpoint_callback import SaveCheckpoints, read_history
from discern.training.checkpoints import load_family, load_weights, read_description
from discern.training.divergence import StopOnDivergence
from discern.training.early_stopping import DelayedEarlyStopping
from discern.training.fit import fit


@pytest.fixture(scope="module")
def family(make_data, make_family):
    family = make_family(make_data())
    family.model.optimizer.build(family.model.trainable_variables)
    return family


def run(family, folder, values, first_epoch=0, **arguments):
    """Give the callback a history by hand; the weights of epoch i are all i."""
    callback = SaveCheckpoints(folder, family, **arguments)
    callback.set_model(family.model)
    callback.set_params({"epochs": first_epoch + len(values)})
    family.model.stop_training = False
    for epoch, value in enumerate(values, first_epoch):
        for weight in family.model.weights:
            weight.assign(0 * weight + epoch)
        callback.on_epoch_end(epoch, {"loss": value + 1.0, "val_loss": value})
    return callback


def weights_in(path):
    return float(load_family(path)[0].model.get_weights()[0].mean())


def test_best_and_last_weights(family, tmp_path):
    folder = ExperimentFolder(tmp_path)
    run(family, folder, [5.0, 3.0, 4.0])
    assert (weights_in(folder.best_model), weights_in(folder.last_state)) == (1.0, 2.0)
    best, last = (read_description(path)[3] for path in (folder.best_model, folder.last_state))
    assert (best.epoch, best.monitored) == (2, 3.0)
    assert (last.epoch, last.monitored) == (3, 3.0)


def test_short_epochs_do_not_write_the_state_every_time(family, tmp_path, monkeypatch):
    written, clock = [], iter(range(10_000))
    monkeypatch.setattr("discern.training.checkpoint_callback.time.monotonic", lambda: next(clock))
    monkeypatch.setattr(
        "discern.training.checkpoint_callback.save_checkpoint",
        lambda path, family, checkpoint, with_state, **_: written.append(checkpoint.epoch) if with_state else None,
    )
    run(family, ExperimentFolder(tmp_path), [5.0] * 60)  # a write takes one tick, as does the look at the clock
    assert written[0] == 1
    assert written[-1] == 60
    assert len(written) == 4  # twenty times as long as a write took lies between two of them


def test_larger_can_be_better(family, tmp_path):
    folder = ExperimentFolder(tmp_path)
    run(family, folder, [5.0, 3.0, 4.0], larger_is_better=True)
    assert weights_in(folder.best_model) == 0.0


def test_nan_is_never_best(family, tmp_path):
    folder = ExperimentFolder(tmp_path)
    run(family, folder, [math.nan, 3.0, math.nan, 4.0])
    assert weights_in(folder.best_model) == 1.0


def test_history_grows_over_resumed_runs(family, tmp_path):
    folder = ExperimentFolder(tmp_path)
    run(family, folder, [5.0, 3.0])
    resumed = read_description(folder.last_state)[3]
    run(family, folder, [4.0, 2.0], first_epoch=2, resumed=resumed)
    with folder.history.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert [float(row["val_loss"]) for row in rows] == [5.0, 3.0, 4.0, 2.0]
    assert weights_in(folder.best_model) == 3.0


def test_a_resumed_run_must_beat_the_best_before(family, tmp_path):
    folder = ExperimentFolder(tmp_path)
    run(family, folder, [5.0, 1.0])
    run(family, folder, [4.0], first_epoch=2, resumed=read_description(folder.last_state)[3])
    assert weights_in(folder.best_model) == 1.0


def test_rows_after_the_resumed_epoch_are_dropped(family, tmp_path):
    """The program ended after the history and before the state was written."""
    folder = ExperimentFolder(tmp_path)
    run(family, folder, [5.0])
    resumed = read_description(folder.last_state)[3]
    run(family, folder, [4.0, 3.0], first_epoch=1, resumed=resumed)
    run(family, folder, [4.5], first_epoch=1, resumed=resumed)
    assert [row["val_loss"] for row in read_history(folder.history)] == ["5.0", "4.5"]


def test_new_training_starts_a_new_history(family, tmp_path):
    folder = ExperimentFolder(tmp_path)
    run(family, folder, [5.0, 4.0])
    run(family, folder, [6.0])
    assert len(read_history(folder.history)) == 1


@pytest.mark.parametrize("content", ["epoch,loss\none,2\n", "loss\n3\n"])
def test_a_damaged_history_is_named(family, tmp_path, content):
    folder = ExperimentFolder(tmp_path)
    folder.history.parent.mkdir(parents=True)
    folder.history.write_text(content)
    with pytest.raises(ExperimentError, match=r"history\.csv"):
        SaveCheckpoints(folder, family)


def test_state_of_early_stopping_is_kept(family, tmp_path):
    folder = ExperimentFolder(tmp_path)
    stopping = DelayedEarlyStopping(patience=1)
    stopping.set_model(family.model)
    stopping.on_train_begin()
    callback = SaveCheckpoints(folder, family, early_stopping=stopping)
    callback.set_model(family.model)
    callback.set_params({"epochs": 10})
    family.model.stop_training = False
    for epoch, value in enumerate([2.0, 3.0]):
        stopping.on_epoch_end(epoch, {"val_loss": value})
        callback.on_epoch_end(epoch, {"val_loss": value})
    family.model.stop_training = False
    state = read_description(folder.last_state)[3].early_stopping
    assert state == {"wait": 1, "best": 2.0, "best_epoch": 0, "best_logs": {"val_loss": 2.0}, "stopped": True}


def test_divergence_keeps_the_files_before(make_data, make_family, sources_of, tmp_path, monkeypatch):
    """NaN in the third epoch: the state stays that of the second, the message names the term."""
    monkeypatch.setattr("discern.training.checkpoint_callback._SHARE_OF_TIME", math.inf)  # write every epoch
    folder, data = ExperimentFolder(tmp_path), make_data()
    family = make_family(data, eager=True)
    terms = family.model.objective.terms

    def breaking(*args):
        found = terms(*args)
        if int(family.model.optimizer.iterations) >= 7:  # 3 minibatches an epoch
            found["mmdpp"] = found["mmdpp"] * math.nan
        return found

    family.model.objective.terms = breaking
    with pytest.raises(DivergenceError, match=r"epoch 3.*: mmdpp_loss") as caught:
        fit(
            family,
            *sources_of(data),
            batch_size=16,
            seed=0,
            epochs=range(5),
            callbacks=[SaveCheckpoints(folder, family)],
        )
    assert "decoder_counts_loss" not in str(caught.value)
    assert "learning_rate" in str(caught.value)
    assert read_description(folder.last_state)[3].epoch == 2
    assert len(read_history(folder.history)) == 2
    other = make_family(data)
    load_weights(folder.best_model, other.model)
    assert all(math.isfinite(float(weight.sum())) for weight in other.model.get_weights())


def test_divergence_is_noticed_within_an_epoch():
    callback = StopOnDivergence()
    callback.set_model(SimpleNamespace())
    callback.on_epoch_begin(4)
    callback.on_train_batch_end(0, {"loss": 1.0})
    with pytest.raises(DivergenceError, match=r"minibatch 21 of epoch 5: decoder_counts_loss is not finite"):
        callback.on_train_batch_end(20, {"loss": math.inf, "decoder_counts_loss": math.inf, "mmdpp_loss": 1.0})


def test_divergence_names_the_total_when_no_term_is_broken():
    with pytest.raises(DivergenceError, match="epoch 1: val_loss is not finite"):
        StopOnDivergence().on_epoch_end(0, {"loss": 1.0, "val_loss": math.nan})
