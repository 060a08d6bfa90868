import queue

import pandas as pd
import pytest

from discern.available_cpus import available_cpus
from discern.errors import DataError, ExperimentError, ParametersError
from discern.projection.targets import Target
from discern.workflows import runner as runner_module
from discern.workflows.runner import (
    CheckMetaData,
    DISCERNRunner,
    OnlineDISCERNRunner,
    run_exp_multiprocess,
    run_projection,
)
from discern.workflows.side_by_side import Outcome


@pytest.fixture
def shared_out(monkeypatch):
    """What is given to run_each, which does not run."""
    calls = []

    def pretend(work, experiments, arguments, slots, start_process):
        calls.append((experiments, dict(arguments), slots))
        return [Outcome(one.name) for one in experiments]

    monkeypatch.setattr(runner_module, "run_each", pretend)
    return calls


def cpus(number):
    return lambda content: content["input_ds"].update(n_cpus_preprocessing=number)


@pytest.mark.parametrize(
    ("available", "wanted", "slots"),
    [
        (8, [0, 0], [4, 4]),
        (8, [4, 4], [2, 2]),
        (8, [20, 20, 20], [2, 2, 2]),
        (2, [0, 0, 0], [1, 1]),
        (8, [3, 0], [4, 4]),
        (1, [4, 4], [1]),
    ],
)
def test_processing_stays_within_the_cpu_budget(experiments, shared_out, monkeypatch, available, wanted, slots):
    monkeypatch.setattr(runner_module, "available_cpus", lambda: available)
    names = {f"run{number}": cpus(one) for number, one in enumerate(wanted)}
    DISCERNRunner(gpus=[])("process", experiments(None, **names), force=True)
    ((_, arguments, found),) = shared_out
    assert found == [{"n_jobs": number} for number in slots]
    assert arguments == {"force": True}
    assert sum(slots) <= max(available, 1)


@pytest.mark.parametrize(
    ("gpus", "named", "slots"),
    [
        ([], [0, 1], [{}]),
        ([0], [0, 1], [{"gpus": [0]}]),
        ([0, 1], [0, 1], [{"gpus": [0]}, {"gpus": [1]}]),
        ([0, 1], [1], [{"gpus": [0]}, {"gpus": [1]}]),
    ],
)
@pytest.mark.parametrize("mode", ["train", "project"])
def test_training_takes_one_gpu_each_or_one_after_the_other(experiments, shared_out, mode, gpus, named, slots):
    of_a = experiments(None, a=lambda content: content["training"].update(GPU=named), b=None)
    DISCERNRunner(gpus=gpus)(mode, of_a)
    assert shared_out[0][2] == slots


def test_debug_runs_only_the_first_in_this_process(experiments, shared_out, here):
    outcomes = DISCERNRunner(debug=True)("process", experiments(None, a=None, b=None), with_tfrecords=False)
    assert [outcome.name for outcome in outcomes] == ["a"]
    assert outcomes[0].result.n_cells == 80
    assert shared_out == []
    assert not (here / "exps" / "b").exists()


def test_a_single_experiment_raises_what_it_raises(experiment, shared_out):
    with pytest.raises(ExperimentError, match="no trained model"):
        DISCERNRunner()("project", [experiment()])
    assert shared_out == []


def test_folders_are_experiments_too(here, counts):
    counts().write_h5ad(here / "cells.h5ad")
    (here / "run").mkdir()
    (here / "run" / "parameters.json").write_text(
        '{"input_ds": {"raw_input": ["cells.h5ad"], "filtering": {"min_genes": 5}}}'
    )
    (outcome,) = DISCERNRunner()("process", [here / "run"], with_tfrecords=False)
    assert outcome.result.batches == {"good": 40, "poor": 40}


def test_modes_are_named(experiment):
    with pytest.raises(ParametersError, match="unknown mode 'proces'. Did you mean 'process'"):
        DISCERNRunner()("proces", [experiment()])
    with pytest.raises(ParametersError, match="Known: onlinetraining"):
        OnlineDISCERNRunner(debug=False, gpus=None)("train", [experiment()])
    with pytest.raises(ParametersError, match="no experiment"):
        DISCERNRunner()("train", [])


def test_results_and_slots_need_no_gpu_to_be_listed():
    assert DISCERNRunner(gpus=[3]).gpus == [3]
    assert available_cpus() >= 1


def _known_fault(folder):
    raise DataError("no counts")


def _unknown_fault(folder):
    raise ZeroDivisionError


@pytest.mark.parametrize(("work", "code"), [(str, 0), (_known_fault, 1), (_unknown_fault, 1)])
def test_the_published_function_returns_0_or_1_and_gives_the_gpu_back(tmp_path, caplog, monkeypatch, work, code):
    monkeypatch.setattr("discern.training.devices.set_gpu_and_threads", lambda threads, gpus: None)
    free = queue.SimpleQueue()
    free.put(0)
    assert run_exp_multiprocess(tmp_path, free, work) == code
    assert free.get_nowait() == 0
    assert ("failed" in caplog.text) is bool(code)
    assert ("Traceback" in caplog.text) is (work is _unknown_fault)


def test_metadata_are_checked():
    check = CheckMetaData(
        pd.DataFrame({"celltype": ["B", "T", None], "batch": ["1", "1", "2"], "cluster": [0, 0, 3]})
    ).check
    check(["celltype", "B"])
    check(["batch", ""])
    check(("batch", None))
    check(("cluster", 0))
    for column, value in (("cluster", 1), ("celltype", "NK"), ("tissue", "x"), ("celltype", None)):
        with pytest.raises(DataError):
            check([column, value])


def test_zero_is_a_value_to_project_to(experiment, monkeypatch):
    asked = []
    monkeypatch.setattr("discern.workflows.readiness.why_not", lambda *_: None)
    monkeypatch.setattr("discern.workflows.project.project", lambda one, targets, **_: asked.extend(targets))
    monkeypatch.setattr(runner_module, "experiment_of_folder", lambda folder: experiment())
    run_projection("run", [("cluster", 0), ("batch", ""), ("batch", None), "batch:b1"], None, False, False)
    assert asked == [Target("cluster", "0"), Target("batch"), Target("batch"), Target("batch", "b1")]


@pytest.mark.parametrize(("own", "given"), [([], None), ([1], [0])])
def test_an_experiment_without_gpus_stays_on_the_cpu(experiment, monkeypatch, own, given):
    class Work:
        def load(self):
            return lambda one, gpus=None: gpus

    one = experiment(lambda content: content["training"].update(GPU=own))
    monkeypatch.setattr("discern.workflows.readiness.why_not", lambda *_: None)
    assert runner_module._load_and_run("train", Work(), one, gpus=[0]) == given
