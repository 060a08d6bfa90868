"""One trial without Ray: its steps, its state, and what it reports when it cannot go on."""

import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from discern.io.experiment_folder import ExperimentFolder
from discern.io.json_files import read_json
from discern.training.checkpoints import load_family
from discern.training.resumable import ResumableTraining
from discern.tuning.objectives import read_measures
from discern.tuning.trial import SEARCH_FOLDER, SearchTrial
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
    assert results[-1]["loss"] == min(row["val_loss"] for row in history)
    assert results[-1]["val_decoder_counts_loss"] == history[-1]["val_decoder_counts_loss"]
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
