"""What a search leaves: tables, the best trial as an experiment, importances, pictures."""

import csv
import json

import numpy as np
import pytest

from discern.errors import ExperimentError
from discern.io.whole_files import write_text
from discern.tuning.config import search_config
from discern.tuning.importance import importances
from discern.tuning.past import begin_or_go_on, read_past
from discern.tuning.pictures import importance_picture, objective_picture, parallel_coordinates
from discern.tuning.reported_model import forget_others, keep_reported, show_reported, take_back_unreported
from discern.tuning.results import best_trial, complete, trial_rows, write_results
from discern.tuning.search_folder import SearchFolder, TrialFolder, sample_digest
from discern.tuning.trial_values import WORST
from discern.workflows.experiment import read_experiments

SPACE = search_config(
    {
        "search_space": {
            "training": {"optimizer": {"learning_rate": {"type": "loguniform", "name": "rate", "args": [-4, -1]}}},
            "model": {
                "latent_dim": {"type": "choice", "name": "latent", "args": [[2, 4, 8]]},
                "encoder": {"layers": {"type": "choice", "name": "layers", "args": [[[8], [16, 8]]]}},
            },
        }
    }
).space


def add_trial(folder, name, mmd, status="finished", sample=None, model=True, steps=2):
    trial = folder.trial(name)
    trial.path.mkdir(parents=True)
    trial.sample_file.write_text(json.dumps(sample or {"rate": 1e-3, "latent": 4, "layers": [16, 8]}))
    trial.experiment.parameters_file.write_text(json.dumps({"model": {"latent_dim": 4}, "training": {}}))
    trial.write_results(
        [
            {"mmd": mmd, "epochs": step + 1, "seconds": 3.0, "reported_at": 60.0 * step, "done": False}
            for step in range(steps)
        ]
    )
    if status:
        trial.write_outcome(status, "it broke" if status == "failed" else "")
    if model:
        trial.experiment.job.mkdir()
        trial.experiment.best_model.write_bytes(b"weights")
    return trial


@pytest.fixture
def searched(tmp_path):
    folder = SearchFolder(tmp_path / "optimize")
    add_trial(folder, "0001_a", 0.3)
    add_trial(folder, "0002_b", 0.1)
    add_trial(folder, "0003_c", WORST, "diverged")
    add_trial(folder, "0004_d", 0.01, "failed")
    add_trial(folder, "0005_e", 0.05, model=False)
    add_trial(folder, "0006_f", 0.2, status="")
    return folder


def test_all_trials_are_told_and_the_best_usable_one_is_named(searched, processed):
    trials = read_past(searched)
    assert [row["status"] for row in trial_rows(trials)] == [
        *("finished", "finished", "diverged", "failed", "finished", "unfinished")
    ]
    assert [trial.ended_at for trial in trials] == [60.0] * 6
    best = write_results(searched, trials, "mmd", processed.folder)
    assert best.folder.name == "0002_b"
    rows = json.loads(searched.analysis.read_text())
    assert rows[1]["mmd"] == 0.1 and rows[1]["config"] == {"rate": 1e-3, "latent": 4, "layers": [16, 8]}
    assert rows[3]["why"] == "it broke"
    table = list(csv.DictReader(searched.analysis_table.read_text().splitlines()))
    assert table[1]["config/layers"] == "[16, 8]" and float(table[1]["mmd"]) == 0.1
    assert len(table) == len(rows) == 6


def test_the_best_trial_is_an_experiment_with_the_data_of_its_own(searched, processed):
    best = write_results(searched, read_past(searched), "mmd", processed.folder)
    (named,) = read_experiments(searched.best_parameters)
    assert named.folder.path == best.folder.path
    assert named.config.model.latent_dim == 4
    own = named.folder.processed_file
    assert own.samefile(processed.folder.processed_file)
    records = {one.name for one in processed.folder.tfrecords.iterdir()}
    assert {one.name for one in named.folder.tfrecords.iterdir()} == records
    before = own.parent.stat().st_mtime_ns
    complete(best.folder, processed.folder)
    assert own.parent.stat().st_mtime_ns == before  # nothing is done twice


def test_data_are_copied_where_links_are_not_possible(searched, processed, monkeypatch):
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    trial = TrialFolder(searched.trials / "0001_a")
    complete(trial, processed.folder)
    own = trial.experiment.processed_file
    assert not own.samefile(processed.folder.processed_file)
    assert own.read_bytes() == processed.folder.processed_file.read_bytes()


def test_the_model_of_the_last_report_is_the_one_that_is_given(searched, processed):
    """A trial that has not ended keeps the newer one for when it goes on; one that has ended needs one name for one."""
    for name in ("0006_f", "0002_b"):
        trial = searched.trial(name)
        trial.write_results([{"mmd": 0.2, "best_epoch": 3}])
        keep_reported(trial, 3)
        assert trial.reported_model(3).samefile(trial.experiment.best_model)
        write_text(trial.experiment.best_model, "newer weights")
    for _ in range(2):  # the second time there is nothing to do
        write_results(searched, read_past(searched), "mmd", processed.folder)
        for name in ("0006_f", "0002_b"):
            assert searched.trial(name).experiment.best_model.read_bytes() == b"weights"
    ended = searched.trial("0002_b")
    assert not ended.reported_model(3).exists() and not ended.unreported_model.exists()
    trial = searched.trial("0006_f")
    take_back_unreported(trial)
    assert trial.experiment.best_model.read_text() == "newer weights"
    assert trial.reported_model(3).read_bytes() == b"weights" and not trial.unreported_model.exists()
    forget_others(trial, 4)
    assert not trial.reported_model(3).exists()


def test_models_are_kept_where_links_are_not_possible(searched, monkeypatch):
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    trial = searched.trial("0006_f")
    keep_reported(trial, 3)
    assert not trial.reported_model(3).samefile(trial.experiment.best_model)
    show_reported(trial, 3)
    assert not trial.unreported_model.exists()  # a copy is the same model
    write_text(trial.experiment.best_model, "newer weights")
    show_reported(trial, 3)
    assert trial.experiment.best_model.read_bytes() == b"weights"
    assert trial.unreported_model.read_text() == "newer weights"


def test_no_usable_trial_has_no_parameters(tmp_path, processed):
    folder = SearchFolder(tmp_path)
    add_trial(folder, "0001_a", WORST, "diverged")
    assert best_trial(read_past(folder), "mmd") is None
    assert write_results(folder, read_past(folder), "mmd", processed.folder) is None
    assert not folder.best_parameters.exists()
    assert len(read_json_list(folder.analysis)) == 1


def read_json_list(path):
    return json.loads(path.read_text())


def test_the_hyperparameter_that_decides_is_the_important_one():
    rng = np.random.default_rng(0)
    samples = [SPACE.draw(rng) for _ in range(40)]
    values = [np.log10(one["rate"]) ** 2 + 0.3 * (one["latent"] == 8) for one in samples]
    found = importances(SPACE, samples, values)
    assert set(found) == {"rate", "latent", "layers"}
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["rate"] > 0.8
    assert found["layers"] < 0.1
    values[3] = WORST  # one that diverged changes little
    assert importances(SPACE, samples, values)["rate"] > 0.7
    assert importances(SPACE, samples[:4], values[:4]) is None
    assert importances(SPACE, samples, [1.0] * 40) is None


def test_pictures(searched, tmp_path):
    trials = read_past(searched)
    objective_picture(tmp_path / "objective.png", trials, "mmd")
    parallel_coordinates(tmp_path / "lines.png", SPACE, trials, "mmd")
    importance_picture(tmp_path / "importance.png", {"rate": 0.7, "latent": 0.3})
    for name in ("objective", "lines", "importance"):
        assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    objective_picture(tmp_path / "empty.png", trials[2:3], "mmd")
    parallel_coordinates(tmp_path / "empty.png", SPACE, [], "mmd")


def test_a_search_goes_on_only_as_it_was_begun(tmp_path):
    folder = SearchFolder(tmp_path / "optimize")
    search = {"scheduler": {"name": "ASHA"}, "train_spec": {"num_samples": 3, "stop": {}}, "setup": {"address": None}}
    description = {"experiment": {"folder": "here"}, "search": search, "data": {"batches": ["a"]}, "seed": 0}
    assert not begin_or_go_on(folder, description)
    more = {**search, "train_spec": {"num_samples": 9, "stop": {}}, "setup": {"address": "host:1"}}
    assert begin_or_go_on(folder, {**description, "search": more, "experiment": {"folder": "there"}})
    assert folder.read_description()["search"]["train_spec"]["num_samples"] == 9
    for changed, told in (
        ({"seed": 1}, "seed is 1, was 0"),
        ({"data": {"batches": ["a", "b"]}}, r'data.batches is \["a", "b"\], was \["a"\]'),
        ({"search": {**search, "scheduler": {"name": "FIFO"}}}, 'search.scheduler.name is "FIFO", was "ASHA"'),
    ):
        with pytest.raises(ExperimentError, match=f"{told}.*discern optimize --restart"):
            begin_or_go_on(folder, {**description, **changed})
    kept = folder.set_aside()
    assert kept == folder.backup / "1" and (kept / "search.json").is_file()
    assert folder.set_aside() is None
    assert not begin_or_go_on(folder, description)
    assert folder.set_aside() == folder.backup / "2"


def test_damaged_files_are_named(searched):
    trial = searched.trial("0001_a")
    trial.results_file.write_text('{"mmd": 0.1}\n{"mm')
    with pytest.raises(ExperimentError, match=r"result.jsonl is damaged.*--restart"):
        read_past(searched)
    trial.write_results([{"mmd": 0.5}])
    trial.sample_file.write_text("{")
    with pytest.raises(ExperimentError, match=r"sample.json is no valid JSON.*--restart"):
        read_past(searched)


def test_samples_are_named_by_their_values():
    assert sample_digest({"a": 1, "b": 2.5}) == sample_digest({"b": 2.5, "a": 1})
    assert sample_digest({"a": 1}) != sample_digest({"a": 2})
