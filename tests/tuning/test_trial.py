"""One trial without Ray: its steps, its state, and what it reports when it cannot go on."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from discern.io.experiment_folder import ExperimentFolder
from discern.io.json_files import read_json
from discern.training.checkpoint_callback import read_history, write_history
from discern.training.checkpoints import Checkpoint, load_family, read_description
from discern.training.resumable import ResumableTraining
from discern.tuning.objectives import read_measures
from discern.tuning.past import read_past
from discern.tuning.results import write_results
from discern.tuning.trial import SEARCH_FOLDER, SearchTrial, _Work
from discern.tuning.trial_values import WORST
from discern.workflows.experiment import read_experiments

SAMPLE = {"rate": 1e-3, "latent": 3}
OF_THE_CLOCK = {"seconds", "reported_at", "time_this_iter_s", "time_total_s", "timestamp", "time_since_restore", "date"}


def trial_of(folder, **sample):
    return SearchTrial(config={**SAMPLE, **sample, SEARCH_FOLDER: str(folder.path)})


def values(results):
    return [{name: value for name, value in one.items() if name not in OF_THE_CLOCK} for one in results]


def state_of(trial):
    found = {}
    with h5py.File(trial._folder.experiment.last_state, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def assert_same_state(one, other):
    mine, theirs = state_of(one), state_of(other)
    assert set(mine) == set(theirs)
    assert any(name.startswith("optimizer") for name in mine)
    for name, value in mine.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def whole(search_of):
    """A trial of three steps without interruption; not to be changed."""
    trial = trial_of(search_of("whole"))
    for _ in range(3):
        trial.train()
    return trial


def test_what_a_trial_reports(whole):
    results = whole._folder.read_results()
    assert [one["epochs"] for one in results] == [2, 4, 6]
    assert [one["done"] for one in results] == [False, False, True]
    assert results[-1]["reached_max_step"] and not results[-1]["early_stopped"]
    rows = whole._folder.experiment.history.read_text().splitlines()
    columns = rows[0].split(",")
    history = [dict(zip(columns, map(float, row.split(",")), strict=True)) for row in rows[1:]]
    for result in results:
        best = min(history[: result["epochs"]], key=lambda row: row["val_loss"])
        assert (result["loss"], result["best_epoch"]) == (best["val_loss"], best["epoch"])
        assert result["val_decoder_counts_loss"] == best["val_decoder_counts_loss"]
    assert all(np.isfinite(one["mmd"]) for one in results)
    assert "auc" not in results[-1]
    parameters = read_json(whole._folder.experiment.parameters_file)
    assert parameters["training"]["optimizer"] == {"learning_rate": 1e-3}
    assert parameters["model"]["latent_dim"] == 3


def test_steps_give_the_bits_of_one_training(whole, processed, tmp_path):
    """And of one without measuring in between."""
    (config,) = read_experiments(whole._folder.experiment.parameters_file)
    folder = ExperimentFolder(tmp_path)
    at_once = ResumableTraining(folder, config.config.model, config.config.training, data=processed.folder)
    at_once.take_up()
    at_once.train_until(6, show_progress=False)
    assert_same_state(whole, SimpleNamespace(_folder=SimpleNamespace(experiment=folder)))
    assert at_once.state.epoch == 6 and not at_once.has_stopped


def test_the_measures_are_those_of_the_best_weights(whole, processed):
    family, _ = load_family(whole._folder.experiment.best_model)
    measures = read_measures(processed.folder, batch_size=32, seed=0)
    expected = measures.measure(family, ["mmd"])["mmd"]
    np.testing.assert_allclose(whole._folder.read_results()[-1]["mmd"], expected, rtol=1e-5)


def test_all_that_is_reported_is_of_the_model_that_is_kept(whole, tmp_path):
    """Not of the last epoch, where another one was better."""
    folder = ExperimentFolder(tmp_path)
    folder.job.mkdir()
    folder.best_model.write_bytes(whole._folder.experiment.best_model.read_bytes())
    best_epoch = read_description(folder.best_model)[3].epoch
    rows = [{"epoch": best_epoch + later, "mmdpp_loss": 1 + later, "val_mmdpp_loss": 3 + later} for later in (-1, 0, 1)]
    write_history(folder.history, rows)
    work = object.__new__(_Work)
    work._epochs_per_step, work._measures = 1, None
    config = SimpleNamespace(max_steps=best_epoch + 1, early_stopping=None)
    state = Checkpoint(best_epoch + 1, 7.0)
    work._training = SimpleNamespace(folder=folder, config=config, state=state, has_stopped=False)
    result = work.step(best_epoch + 1, {})
    assert (result["epochs"], result["best_epoch"], result["loss"]) == (best_epoch + 1, best_epoch, 7.0)
    assert (result["mmdpp_loss"], result["val_mmdpp_loss"]) == (1.0, 3.0)


def test_a_search_that_ends_within_a_step_gives_the_model_of_the_last_report(search_of, processed):
    folder = search_of("within")
    trial = trial_of(folder)
    trial.train()
    training = trial._work._training
    training.state = replace(training.state, monitored=1e9)  # whatever comes is better
    training.train_until(3, show_progress=False)  # and it dies before it reports
    best = trial._folder.experiment.best_model
    assert read_description(best)[3].epoch == 3
    ended = trial._folder.read_results()
    write_results(folder, read_past(folder), "mmd", processed.folder)
    assert read_description(best)[3].epoch == ended[-1]["best_epoch"] == 2
    measures = read_measures(processed.folder, batch_size=32, seed=0)
    family, _ = load_family(best)
    np.testing.assert_allclose(measures.measure(family, ["mmd"])["mmd"], ended[-1]["mmd"], rtol=1e-6)
    trial_of(folder)
    assert read_description(best)[3].epoch == 3  # what goes on from its state knows of it
    assert trial._folder.reported_model(2).is_file() and not trial._folder.unreported_model.exists()


def test_a_checkpoint_is_taken_up_with_the_same_bits(whole, search_of, tmp_path):
    first = trial_of(search_of("first"))
    first.train()
    (tmp_path / "checkpoint").mkdir()
    first.save_checkpoint(str(tmp_path / "checkpoint"))
    assert {one.name for one in (tmp_path / "checkpoint").iterdir()} == {
        *("last_state.hdf5", "best_model.hdf5", "history.csv", "result.jsonl")
    }
    second = trial_of(search_of("second"))
    second.train()
    second.train()  # what it did before is replaced
    second.load_checkpoint(str(tmp_path / "checkpoint"))
    second._iteration = 1  # as Ray restores it
    second.train()
    second.train()
    assert_same_state(whole, second)
    assert values(whole._folder.read_results()) == values(second._folder.read_results())


@pytest.mark.slow
def test_a_trial_that_died_repeats_its_reports_and_goes_on_with_the_same_bits(whole, search_of):
    folder = search_of("died")
    trial_of(folder).train()
    again = trial_of(folder)
    known = again._folder.read_results()
    assert again.step() == known[0]
    assert again._work is None  # nothing was trained or opened for it
    again._iteration = 1
    again.train()
    again.train()
    assert_same_state(whole, again)
    assert values(whole._folder.read_results()) == values(again._folder.read_results())


def test_divergence_is_the_worst_value_and_no_nan(search_of):
    trial = trial_of(search_of(train_spec={"config": {"epochs_per_timestep": 2, "report": ["auc"]}}), rate=1e25)
    result = trial.step()
    assert result["diverged"] and result["done"] and not result["failed"]
    assert result["loss"] == result["mmd"] == result["auc"] == WORST
    assert "not finite" in result["why"]
    assert trial._folder.read_results() == [result]
    assert all(np.isfinite(value) for value in result.values() if isinstance(value, float))


def test_a_fault_of_ours_ends_the_trial_and_says_why(search_of):
    trial = trial_of(search_of(train_spec={"config": {"epochs_per_timestep": 2, "batch_to_check": ["none"]}}))
    result = trial.step()
    assert result["failed"] and result["done"] and result["mmd"] == WORST
    assert "'none' is no batch of the data" in result["why"]


@pytest.mark.slow
def test_a_change_of_the_sample_goes_on_with_the_weights_of_another(search_of, tmp_path):
    """What population-based training does."""
    donor = trial_of(search_of("donor"))
    donor.train()
    shutil.copytree(donor._folder.experiment.job, tmp_path / "checkpoint")
    shutil.copy(donor._folder.results_file, tmp_path / "checkpoint")
    taker = trial_of(search_of("taker"), rate=2e-3)
    taker.load_checkpoint(str(tmp_path / "checkpoint"))
    taker._iteration = 1
    result = taker.train()
    assert result["epochs"] == 4
    lines = taker._folder.read_results()
    assert [one["sample"]["rate"] for one in lines] == [1e-3, 2e-3]


@pytest.mark.slow
def test_models_are_compared_anew_when_the_loss_is_weighed_otherwise(search_of, tmp_path):
    """A smaller weight must not make a worse model the best one for ever, nor a larger one keep what came before."""
    space = {"model": {"wae_lambda": {"type": "loguniform", "name": "weight", "args": [0, 8]}}}
    folder = search_of("weighed", search_space=space)
    donor = trial_of(folder, weight=1.0)
    first = donor.train()
    (tmp_path / "checkpoint").mkdir()
    donor.save_checkpoint(str(tmp_path / "checkpoint"))
    taker = trial_of(folder, weight=1e7)
    taker.load_checkpoint(str(tmp_path / "checkpoint"))
    assert taker._folder.reported_model(first["best_epoch"]).is_file()
    taker._iteration = 1
    result = taker.train()
    assert result["best_epoch"] > 2
    rows = read_history(taker._folder.experiment.history)
    assert result["loss"] == min(float(row["val_loss"]) for row in rows[2:]) > 10 * first["loss"]
