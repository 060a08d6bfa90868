"""``train`` that is interrupted, killed or finds damaged files: it goes on with the bits of an undisturbed run."""

import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest

from discern.errors import ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.training import checkpoint_callback
from discern.training.checkpoints import load_family, read_description
from discern.training.divergence import StopOnDivergence
from discern.training.interruption import TrainingInterruptedError
from discern.training.received_signals import ReceivedSignals
from discern.training.resuming import whole_state
from discern.workflows.experiment import read_experiments
from discern.workflows.process import process
from discern.workflows.train import train

EPOCHS = 6
TRAINING = {"batch_size": 64, "max_steps": EPOCHS, "GPU": [], "parallel_pc": 1, "seed": 3}
EVERY_EPOCH, FIRST_EPOCH_ONLY = float("inf"), 1e-9  # of the time may go into writing states

# Imports TensorFlow once and runs nothing with it, so that each run is a fork; prints the epochs after every kill.
KILLER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from discern.io.experiment_folder import ExperimentFolder
from discern.training.checkpoints import read_description
from discern.workflows.experiment import read_experiments
from discern.workflows.train import train
import tensorflow

def child(experiment):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            train(experiment)
            code = 0
        finally:
            os._exit(code)
    return pid

whole, killed = read_experiments(Path(sys.argv[1]))
start = time.monotonic()
assert os.waitpid(child(whole), 0)[1] == 0
seconds = time.monotonic() - start
rng = np.random.default_rng(0)
for _ in range(int(sys.argv[2])):
    begun = killed.folder.history.stat().st_mtime_ns if killed.folder.history.exists() else 0
    pid, deadline = child(killed), time.monotonic() + seconds
    if rng.random() < 0.8:  # else also while it starts
        while time.monotonic() < deadline:
            if killed.folder.history.exists() and killed.folder.history.stat().st_mtime_ns != begun:
                break
            time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.15) * seconds)
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    states = [path for path in (killed.folder.last_state, killed.folder.previous_state) if path.exists()]
    print(os.WIFSIGNALED(status), read_description(states[0])[3].epoch if states else 0, flush=True)
assert os.waitpid(child(killed), 0)[1] == 0
"""


def write_parameters(golden_dir, folder, *names, **training):
    section = {
        "raw_input": [str(golden_dir / f"input_b{number}.h5ad") for number in range(3)],
        "filtering": {"min_genes": 100, "min_cells": 3},
        "n_cpus_preprocessing": 1,
    }
    model = {"latent_dim": 2, "encoder": {"layers": [8]}, "decoder": {"layers": [8]}}
    experiment = {"input_ds": section, "model": model, "training": TRAINING | training}
    path = folder / "parameters.json"
    content = {"exp_param": {"experiments_dir": str(folder)}, "experiments": dict.fromkeys(names, experiment)}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def processed(golden_dir, tmp_path_factory):
    """A processed experiment, not to be changed."""
    experiment = read_experiments(write_parameters(golden_dir, tmp_path_factory.mktemp("processed"), "run"))[0]
    process(experiment)
    return experiment


@pytest.fixture(scope="module")
def whole(processed, tmp_path_factory):
    """The same, trained without disturbance, and its state after every epoch."""
    experiment = copied(processed, tmp_path_factory.mktemp("whole"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_callback, "_SHARE_OF_TIME", EVERY_EPOCH)
        train(experiment)
    return experiment


def copied(experiment, folder):
    shutil.copytree(experiment.folder.path, folder / "run")
    return replace(experiment, folder=ExperimentFolder(folder / "run"))


def configured(experiment, **changes):
    training = type(experiment.config.training).model_validate(
        experiment.config.training.model_dump(mode="json") | changes
    )
    return replace(experiment, config=experiment.config.model_copy(update={"training": training}))


@pytest.fixture
def run(processed, tmp_path):
    """An experiment to train."""
    return copied(processed, tmp_path)


@pytest.fixture
def trained(whole, tmp_path):
    """A trained experiment to damage."""
    return copied(whole, tmp_path)


def bits(folder):
    """Everything that training leaves, but for the state before the last one."""
    found = {"history": folder.history.read_text()}
    for path in (folder.last_state, folder.best_model):
        with h5py.File(path) as file:
            description = json.loads(file.attrs["description"])
            found[path.name] = {**description, "training": {**description["training"], "max_steps": 0}}
            file.visititems(
                lambda name, item, path=path: found.update(
                    {f"{path.name}/{name}": item[()].tobytes()} if isinstance(item, h5py.Dataset) else {}
                )
            )
    return found


def epochs_in(folder):
    with folder.history.open(newline="") as stream:
        return [int(row["epoch"]) for row in csv.DictReader(stream)]


@pytest.fixture
def foreground():
    """Handlers of signals as in the foreground: a shell lets its jobs in the background ignore SIGINT."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield handlers
    for number, handler in before.items():
        signal.signal(number, handler)


def signal_in(monkeypatch, number, epoch):
    """Send a signal to this process in the second minibatch of an epoch."""
    checked = StopOnDivergence.on_train_batch_end

    def sending(self, batch, logs=None):
        checked(self, batch, logs)
        if (self._epoch + 1, batch) == (epoch, 1):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(StopOnDivergence, "on_train_batch_end", sending)


@pytest.mark.parametrize(
    ("number", "share", "epoch_on_disk"),
    [
        (signal.SIGTERM, EVERY_EPOCH, 2),
        (signal.SIGINT, FIRST_EPOCH_ONLY, 3),
        pytest.param(signal.SIGINT, EVERY_EPOCH, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, FIRST_EPOCH_ONLY, 3, marks=pytest.mark.slow),
    ],
)
def test_a_signal_leaves_the_state_and_loses_no_bit(run, whole, monkeypatch, foreground, number, share, epoch_on_disk):
    handler = foreground[number]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_callback, "_SHARE_OF_TIME", share)
        signal_in(patch, number, epoch=3)
        with pytest.raises(
            TrainingInterruptedError, match=f"{number.name}.*goes on after epoch {epoch_on_disk}\\."
        ) as e:
            train(run)
    assert e.value.exit_code == 128 + number
    assert signal.getsignal(number) == handler
    assert read_description(run.folder.last_state)[3].epoch == epoch_on_disk
    assert not run.folder.lock.exists()
    assert train(run).epochs == EPOCHS
    assert bits(run.folder) == bits(whole.folder)


def test_a_signal_in_the_first_epoch_says_that_nothing_is_complete(run, whole, monkeypatch):
    with monkeypatch.context() as patch:
        signal_in(patch, signal.SIGTERM, epoch=1)
        with pytest.raises(TrainingInterruptedError, match="begins anew: no epoch is complete"):
            train(run)
    assert not run.folder.job.exists()
    train(run)
    assert bits(run.folder) == bits(whole.folder)


@pytest.mark.slow
def test_a_signal_in_the_last_epoch_of_short_ones_lets_it_end(run, whole, monkeypatch):
    monkeypatch.setattr(checkpoint_callback, "_SHARE_OF_TIME", FIRST_EPOCH_ONLY)
    signal_in(monkeypatch, signal.SIGTERM, epoch=EPOCHS)
    assert train(run).epochs == EPOCHS
    assert bits(run.folder) == bits(whole.folder)


def test_another_signal_ends_at_once(monkeypatch):
    sent, clock = [], iter([5.0, 5.5, 7.0])
    monkeypatch.setattr("discern.training.received_signals.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("discern.training.received_signals.os.kill", lambda pid, number: sent.append(number))
    monkeypatch.setattr("discern.training.received_signals.signal.signal", lambda number, handler: sent.append(handler))
    received = ReceivedSignals()
    received.receive(signal.SIGTERM, None)
    received.receive(signal.SIGTERM, None)  # some senders send one signal twice
    assert (received.first, sent) == (signal.SIGTERM, [])
    received.receive(signal.SIGINT, None)
    assert sent == [signal.SIG_DFL, signal.SIGINT]


@pytest.mark.slow
def test_the_command_ends_with_the_code_of_the_signal_and_holds_the_lock(golden_dir, processed, tmp_path):
    copied(processed, tmp_path)
    path = write_parameters(golden_dir, tmp_path, "run", max_steps=100_000, early_stopping=None)
    experiment = read_experiments(path)[0]
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        before = experiment.folder.history.stat().st_mtime_ns if experiment.folder.history.exists() else 0
        command = [sys.executable, "-m", "discern", "train", str(path)]
        with subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as running:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and running.poll() is None:
                if experiment.folder.history.exists() and experiment.folder.history.stat().st_mtime_ns != before:
                    break
                time.sleep(0.01)
            with pytest.raises(ExperimentError, match=f"`discern train` .process {running.pid} on"):
                train(experiment)
            running.send_signal(number)
            errors = running.communicate(timeout=120)[1]
        epoch = read_description(experiment.folder.last_state)[3].epoch
        assert running.returncode == code, errors
        assert (
            f"Training was interrupted ({number.name}). The next `discern train` goes on after epoch {epoch}." in errors
        )
        assert "Traceback" not in errors
        assert epochs_in(experiment.folder) == list(range(1, epoch + 1))


def survive_kills(golden_dir, processed, folder, n_kills, n_epochs):
    path = write_parameters(golden_dir, folder, "whole", "killed", max_steps=n_epochs, early_stopping=None)
    whole, killed = (ExperimentFolder(folder / name) for name in ("whole", "killed"))
    for one in (whole, killed):
        shutil.copytree(processed.folder.path, one.path)
    finished = subprocess.run(
        [sys.executable, "-c", KILLER, str(path), str(n_kills)], capture_output=True, text=True, timeout=1200
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    told = [line.split() for line in finished.stdout.splitlines()]
    epochs = [int(epoch) for _, epoch in told]
    assert len(epochs) == n_kills
    assert epochs == sorted(epochs)  # what was on disk is never lost
    assert sum(was_killed == "True" for was_killed, _ in told) >= n_kills // 2
    assert epochs[-1] > 0
    assert epochs_in(killed) == list(range(1, n_epochs + 1))
    assert bits(killed) == bits(whole)
    assert not [found for found in killed.path.rglob("*") if ".tmp" in found.name or found == killed.lock]
    print(f"epochs on disk after the kills: {epochs}")


@pytest.mark.slow
def test_kills_at_any_moment(golden_dir, processed, tmp_path):
    survive_kills(golden_dir, processed, tmp_path, n_kills=3, n_epochs=40)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_many_kills_at_any_moment(golden_dir, processed, tmp_path):
    survive_kills(golden_dir, processed, tmp_path, n_kills=25, n_epochs=300)


def damages(content, n_flips, n_cuts, seed=0):
    """Copies with one bit flipped, and shorter ones."""
    rng = np.random.default_rng(seed)
    for position in rng.integers(0, len(content), n_flips):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        yield bytes(damaged)
    for length in rng.integers(0, len(content), n_cuts):
        yield content[:length]


def test_a_damaged_state_falls_back_to_the_one_before(trained, caplog):
    folder = trained.folder
    content = folder.last_state.read_bytes()
    for number, damaged in enumerate(damages(content, 60, 20)):
        folder.last_state.write_bytes(damaged)
        caplog.clear()
        assert whole_state(folder) == folder.previous_state, number
        assert str(folder.last_state) in caplog.text
        assert f"epoch {EPOCHS - 1}" in caplog.text
        assert folder.damaged_state.read_bytes() == damaged
    assert not folder.last_state.exists()  # it is never kept as the state before


@pytest.mark.parametrize("is_gone", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_training_after_the_fallback_gives_the_same_bits(trained, whole, is_gone, caplog):
    folder = trained.folder
    folder.last_state.write_bytes(folder.last_state.read_bytes()[:-100])
    if is_gone:
        folder.last_state.unlink()
    assert train(trained).epochs == EPOCHS
    assert "last_state.hdf5 is" in caplog.text
    assert bits(folder) == bits(whole.folder)


def test_two_damaged_states_are_an_error_that_names_both(trained):
    folder = trained.folder
    for path in (folder.last_state, folder.previous_state):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ExperimentError, match=r"last_state\.hdf5 .*last_state\.previous\.hdf5 .*--restart"):
        train(trained)
    folder.previous_state.unlink()
    with pytest.raises(ExperimentError, match=r"last_state\.hdf5 is truncated or damaged.*--restart"):
        train(trained)


def test_a_damaged_best_model_is_an_error(trained):
    path = trained.folder.best_model
    for damaged in damages(path.read_bytes(), 30, 10):
        path.write_bytes(damaged)
        with pytest.raises(ExperimentError, match=r"best_model\.hdf5 .*truncated or damaged"):
            load_family(path)
    with pytest.raises(ExperimentError, match=r"best_model\.hdf5 .*remove the file"):
        train(configured(trained, max_steps=EPOCHS + 1))


def test_a_finished_training_says_so_and_does_nothing(trained, caplog):
    caplog.set_level(logging.INFO)
    before = {path: path.read_bytes() for path in trained.folder.path.rglob("*") if path.is_file()}
    assert train(trained).finished
    assert f"{EPOCHS} epochs. Nothing to do" in caplog.text
    assert "Going on" not in caplog.text
    assert {path: path.read_bytes() for path in trained.folder.path.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_more_epochs_give_the_bits_of_one_run(run, whole, caplog):
    caplog.set_level(logging.INFO)
    assert train(configured(run, max_steps=2)).epochs == 2
    assert train(run).epochs == EPOCHS
    assert "Going on after epoch 2" in caplog.text
    assert "other settings" not in caplog.text
    assert bits(run.folder) == bits(whole.folder)


def test_changed_settings_are_named(trained, caplog):
    changes = {"batch_size": 32, "seed": 4, "max_steps": EPOCHS + 1, "parallel_pc": 0}
    train(configured(trained, optimizer={"algorithm": "RectifiedAdam", "learning_rate": 1e-4}, **changes))
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told == [
        "Training goes on with other settings than before: training.batch_size is 32, was 64; "
        "training.optimizer.learning_rate is 0.0001, was 0.001; training.seed is 4, was 3. "
        "The result is that of neither alone; --restart trains anew."
    ]


def test_restart_keeps_the_earlier_jobs(trained, whole):
    folder = trained.folder
    (folder.backup / "7").mkdir(parents=True)
    (folder.backup / "best_model.hdf5").write_text("of online training")
    (folder.job / "mine.txt").touch()
    assert train(trained, restart=True).epochs == EPOCHS
    assert bits(folder) == bits(whole.folder)
    assert not (folder.job / "mine.txt").exists()
    assert (folder.backup / "8" / "job" / "mine.txt").exists()
    assert sorted(path.name for path in folder.backup.iterdir()) == ["7", "8", "best_model.hdf5"]
