"""``discern optimize`` on a few hundred real cells, as a user runs it; the slow tests kill what can be killed."""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from discern.errors import ExperimentError
from discern.tuning.runner import SearchEnd
from discern.workflows import optimize
from discern.workflows.experiment import read_experiments

SEARCH = {
    "scheduler": "FIFO",
    "searcher": "random",
    "train_spec": {"num_samples": 2, "config": {"epochs_per_timestep": 1}},
    "search_space": {
        "training": {"optimizer": {"learning_rate": {"type": "loguniform", "name": "rate", "args": [-4, -2]}}},
        "model": {"latent_dim": {"type": "choice", "name": "latent", "args": [[2, 4]]}},
    },
    "analysis": {"metric": "mmd"},
}
OF_THE_CLOCK = {"seconds", "reported_at"}


def with_more_valid_cells(experiment):
    experiment["input_ds"]["split"] = {"valid_cells": 0.2}


def write_search(folder, **changes):
    content = {**SEARCH, **{name: values for name, values in changes.items() if not isinstance(values, dict)}}
    for name, values in changes.items():
        if isinstance(values, dict):
            before = content.get(name, {})
            content[name] = {**(before if isinstance(before, dict) else {}), **values}
    (folder / "hyperparameter_search.json").write_text(json.dumps(content))


@pytest.fixture
def processed(here, cells, parameters, discern):
    """The current folder with a processed experiment, and a function that runs the search in a process of its own."""
    cells.write_h5ad("cells.h5ad")
    parameters(run=with_more_valid_cells)
    assert discern("process", "parameters.json").exit_code == 0
    return here


def begun(folder, *options, **variables):
    """Start a search; its output goes to a file."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
    with (folder / "search.log").open("a") as log:
        command = [sys.executable, "-m", "discern", "optimize", "parameters.json", *options]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)


def finished(folder, *options, seconds=500, **variables):
    """Run a search to its end; return the exit code and what it said."""
    process = begun(folder, *options, **variables)
    try:
        code = process.wait(timeout=seconds)
    finally:
        process.kill()
    return code, (folder / "search.log").read_text()


def until(condition, process, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.1)


def trials(folder):
    return sorted((folder / "exps/run/optimize/trials").glob("*"))


def lines(trial):
    file = trial / "result.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def reports(folder):
    """All that trials reported, but for the clock."""
    return {
        trial.name: [{name: value for name, value in one.items() if name not in OF_THE_CLOCK} for one in lines(trial)]
        for trial in trials(folder)
    }


def statuses(folder):
    return {row["trial"]: row["status"] for row in json.loads((folder / "exps/run/optimize/analysis.json").read_text())}


def test_a_search_and_the_projection_of_its_best_trial(processed, discern):
    write_search(processed)
    code, told = finished(processed)
    assert code == 0, told
    assert "Best of 2 trials" in told
    assert "Traceback" not in told and "Failed to" not in told and "deprecated" not in told
    found = processed / "exps/run/optimize"
    assert list(statuses(processed).values()) == ["finished", "finished"]
    first = json.loads((trials(processed)[0] / "sample.json").read_text())
    assert first == {"latent": 4, "rate": 0.001}  # the parameters as they are, and a default
    rows = list(csv.DictReader((found / "analysis.csv").read_text().splitlines()))
    best = min(rows, key=lambda row: float(row["mmd"]))
    (named,) = json.loads((found / "best_parameters.json").read_text())["experiments"]
    assert named == best["trial"]
    assert {one.name for one in (found / "pictures").iterdir()} == {"objective.png", "parallel_coordinates.png"}
    assert not [one.name for one in found.iterdir() if one.name.startswith(".")]  # nothing of Ray is left
    parameters = found / "trials" / named / "parameters.json"
    assert discern("project", parameters, "--metadata", "batch:101").exit_code == 0
    assert [one.name for one in (parameters.parent / "projected").iterdir()] == ["projected_to_average_batch_101.h5ad"]
    assert discern("train", found / "best_parameters.json").exit_code == 0  # all its epochs are trained
    steps = json.loads((processed / "exps/run/provenance.json").read_text())["steps"]
    assert steps[-1]["step"] == "optimize" and steps[-1]["result"]["best"] == named


def test_an_address_where_nothing_answers(processed):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        free = one.getsockname()[1]
    write_search(processed)
    code, told = finished(processed, f"--address=127.0.0.1:{free}", seconds=120)
    assert code == 4
    assert "No trial has the parameters as they are" not in told
    assert f"No Ray cluster answers at '127.0.0.1:{free}'" in told and "ray start --head" in told
    assert "Traceback" not in told


def test_searches_that_cannot_begin(processed, discern):
    told = discern("optimize", "parameters.json")
    assert told.exit_code == 2 and "There is no hyperparameter_search.json" in told.stderr
    unknown = {"model": {"latentdim": {"type": "choice", "args": [[2, 4]]}}}
    write_search(processed, search_space=unknown)
    told = discern("optimize", "parameters.json")
    assert (
        told.exit_code == 2 and "search_space.model.latentdim: unknown key. Did you mean 'latent_dim'?" in told.stderr
    )
    write_search(processed, train_spec={"config": {"batch_to_check": ["102"]}})
    told = discern("optimize", "parameters.json")
    assert told.exit_code == 2 and "batch_to_check: '102' is no batch of the data. Found: 101, 1015." in told.stderr
    assert not (processed / "exps/run/optimize").exists()
    write_search(processed)
    (processed / "exps/run/processed_data/concatenated_data.h5ad").unlink()
    told = discern("optimize", "parameters.json")
    assert told.exit_code == 4 and "Run `discern process` first" in told.stderr


@pytest.mark.parametrize("values", [[2, 3], [2, 4]])
def test_parameters_that_the_space_does_not_hold_are_no_trial(processed, monkeypatch, caplog, values):
    taken = []
    monkeypatch.setattr(optimize, "run_trials", lambda *arguments: taken.append(arguments[-1]) or SearchEnd("a test"))
    write_search(
        processed, search_space={"model": {"latent_dim": {"type": "choice", "name": "latent", "args": [values]}}}
    )
    with caplog.at_level("INFO"), pytest.raises(ExperimentError, match="No trial has reported anything: a test"):
        optimize.optimize(read_experiments(processed / "parameters.json")[0])
    held = 4 in values
    assert taken == [{"latent": 4, "rate": 0.001} if held else None]
    assert ("the search space does not hold their latent." in caplog.text) is not held


def longer(experiment):
    with_more_valid_cells(experiment)
    experiment["training"]["max_steps"] = 12


@pytest.fixture
def long_trials(processed, parameters):
    """The same with trials of twelve epochs."""
    parameters(run=longer)
    return processed


def kill_tree(process, number=signal.SIGKILL, seconds=60):
    """Kill the search and all that Ray started for it, as the end of a batch job does."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(number)
    process.wait(timeout=seconds)
    psutil.wait_procs(family[1:], timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_killed_search_goes_on_and_finds_what_an_undisturbed_one_finds(long_trials, tmp_path_factory):
    write_search(long_trials, train_spec={"num_samples": 3, "config": {"epochs_per_timestep": 1}})
    undisturbed = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(long_trials, undisturbed, dirs_exist_ok=True)
    process = begun(long_trials)
    until(lambda: any(len(lines(trial)) >= 2 for trial in trials(long_trials)), process)
    process.kill()  # the driver alone: Ray notices
    process.wait()
    known = reports(long_trials)
    assert not (long_trials / "exps/run/optimize/best_parameters.json").exists()
    process = begun(long_trials)
    until(lambda: any(len(one) > len(known.get(name, ())) + 1 for name, one in reports(long_trials).items()), process)
    kill_tree(process)
    code, told = finished(long_trials)
    assert code == 0, told
    assert "Going on: " in told
    assert set(statuses(long_trials).values()) == {"finished"}
    assert not list((long_trials / "exps/run/optimize").glob(".*"))
    code, told = finished(undisturbed)
    assert code == 0, told
    assert reports(long_trials) == reports(undisturbed)
    assert len(reports(undisturbed)) == 3
    code, told = finished(long_trials)  # nothing is left
    assert code == 0 and "Best of 3 trials" in told
    write_search(long_trials, train_spec={"num_samples": 3, "config": {"epochs_per_timestep": 2}})
    code, told = finished(long_trials)
    assert code == 4 and "search.train_spec.config.epochs_per_timestep is 2, was 1" in told


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("in_the_foreground")
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_in_order_and_writes_what_is_known(long_trials, number, exit_code):
    write_search(long_trials)
    process = begun(long_trials)
    until(lambda: any(lines(trial) for trial in trials(long_trials)), process)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as Ctrl-C does
    else:
        process.send_signal(number)
    assert process.wait(timeout=60) == exit_code
    told = (long_trials / "search.log").read_text()
    assert f"The search was interrupted ({number.name}): 0 of 2 trials ended" in told
    assert "unfinished" in statuses(long_trials).values()
    assert (long_trials / "exps/run/optimize/best_parameters.json").is_file()
    assert not list((long_trials / "exps/run/optimize").glob(".*"))


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("max_failures", [0, 3])
def test_sigterm_for_every_process_loses_nothing(long_trials, max_failures):
    """As batch systems end a job: Ray's processes and the trials die with the search."""
    spec = {"num_samples": 3, "max_failures": max_failures, "config": {"epochs_per_timestep": 1}}
    write_search(long_trials, train_spec=spec)
    process = begun(long_trials, "--concurrent=1")
    until(lambda: len(trials(long_trials)) == 2 and lines(trials(long_trials)[1]), process, seconds=800)
    kill_tree(process, signal.SIGTERM, seconds=150)  # without its processes Ray gives up after a minute only
    assert process.returncode != 0
    known = reports(long_trials)
    first, second = trials(long_trials)[:2]
    assert json.loads((first / "outcome.json").read_text())["status"] == "finished"
    assert not (second / "outcome.json").exists(), (second / "outcome.json").read_text()
    code, told = finished(long_trials)
    assert code == 0, told
    assert "Going on: 1 trial ended before, 1 to go on, 1 new" in told
    assert list(statuses(long_trials).values()) == ["finished"] * 3
    now = reports(long_trials)
    assert now[first.name] == known[first.name]
    assert now[second.name][: len(known[second.name])] == known[second.name]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_time_budget_ends_the_search_and_the_next_run_goes_on(long_trials):
    write_search(long_trials, train_spec={"num_samples": 2})
    code, told = finished(long_trials, "--time-budget=1s")
    assert code == 4 and "time budget" in told
    code, told = finished(long_trials)
    assert code == 0, told
    assert list(statuses(long_trials).values()) == ["finished", "finished"]


def trial_processes(process):
    found = psutil.Process(process.pid).children(recursive=True)
    return [one for one in found if any("SearchTrial" in word or "ResourceTrainable" in word for word in one.cmdline())]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("max_failures", "expected"), [(3, {"finished"}), (0, {"finished", "failed"})])
def test_a_trial_that_dies(long_trials, max_failures, expected):
    spec = {"num_samples": 2, "max_failures": max_failures, "config": {"epochs_per_timestep": 1}}
    write_search(long_trials, train_spec=spec)
    process = begun(long_trials, "--concurrent=1")
    until(lambda: any(lines(trial) for trial in trials(long_trials)), process)
    (victim,) = trial_processes(process)
    victim.kill()
    assert process.wait(timeout=500) == 0
    told = (long_trials / "search.log").read_text()
    assert set(statuses(long_trials).values()) == expected, told
    assert ("died and begins again from its last state" in told) == (max_failures == 3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trial_that_diverges_is_the_worst(processed):
    space = {
        "training": {"optimizer": {"learning_rate": {"type": "grid_search", "name": "rate", "args": [[1e-3, 1e25]]}}}
    }
    write_search(processed, searcher="grid", search_space=space, train_spec={"num_samples": 1})
    code, told = finished(processed)
    assert code == 0, told
    assert sorted(statuses(processed).values()) == ["diverged", "finished"]
    rows = json.loads((processed / "exps/run/optimize/analysis.json").read_text())
    (broken,) = [row for row in rows if row["status"] == "diverged"]
    assert broken["mmd"] == 1e30 and "not finite" in broken["why"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("scheduler", "n_trials"),
    [
        ({"name": "HyperBand", "max_t": 4, "reduction_factor": 2}, 4),
        ({"name": "PopulationBasedTraining", "perturbation_interval": 4, "quantile_fraction": 0.5}, 2),
        ({"name": "median", "min_samples_required": 1}, 2),
    ],
    ids=["HyperBand", "PopulationBasedTraining", "median"],
)
def test_schedulers_that_pause_change_or_end_trials(long_trials, scheduler, n_trials):
    write_search(long_trials, scheduler=scheduler, train_spec={"num_samples": n_trials})
    code, told = finished(long_trials, seconds=800)
    assert code == 0, told
    assert list(statuses(long_trials).values()) == ["finished"] * n_trials
    for reported in reports(long_trials).values():
        epochs = [one["epochs"] for one in reported]
        assert epochs == list(range(1, len(epochs) + 1))
        assert all(np.isfinite(one["mmd"]) and one["mmd"] < 1e30 for one in reported)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_published_file_runs(processed, golden_dir):
    published = (golden_dir / "published_hyperparameter_search.json").read_text()
    (processed / "hyperparameter_search.json").write_text(published)
    code, told = finished(processed, seconds=100)
    assert code == 4 and "No Ray cluster answers at '127.0.0.1:57780'" in told
    code, told = finished(processed, "--address=local", "--num-samples=2", seconds=800)
    assert code == 0, told
    assert "resources_per_trial asks for" in told and "weight_clipping" in told
    rows = json.loads((processed / "exps/run/optimize/analysis.json").read_text())
    assert len(rows) == 2 and all(0.0 <= row["auc"] <= 1.0 for row in rows if row["status"] == "finished")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_on_two_nodes(processed):
    """A head and a second node, started by hand as the documentation says."""
    ray = str(Path(sys.executable).with_name("ray"))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    variables = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_AUTH_MODE": "token"}
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    start = [ray, "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    nodes = []

    def started(*options):
        log = processed / f"node{len(nodes)}.log"
        with log.open("w") as stream:
            nodes.append(subprocess.Popen([*start, *options], env=environment, stdout=stream, stderr=stream))
        until(lambda: "Ray runtime started" in log.read_text(), nodes[-1])

    write_search(processed)
    try:
        started("--head", f"--port={port}", "--include-dashboard=false")
        started(f"--address=127.0.0.1:{port}")
        code, told = finished(processed, f"--address=127.0.0.1:{port}", **variables)
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait(timeout=60)
    assert code == 0, told
    assert "2 CPUs on 2 machines" in told
    assert list(statuses(processed).values()) == ["finished", "finished"]
