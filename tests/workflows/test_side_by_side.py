"""Work is a function of the standard library: another process must be able to import it."""

import operator
import os
import signal
import threading
import time
from functools import partial

import pytest

from discern.errors import StoppedBySignalError
from discern.workflows import side_by_side
from discern.workflows.process import process
from discern.workflows.side_by_side import Outcome, gpus_of_this_machine, run_each

NAME = operator.attrgetter("name")


def test_one_failure_leaves_the_others_running_and_is_told(experiments, caplog):
    def absent(content):
        content["input_ds"]["raw_input"] = ["absent.h5ad"]

    names = {"first": None, "broken": absent, "group/last": None}
    outcomes = run_each(process, experiments(None, **names), {"with_tfrecords": False}, [{"n_jobs": 1}] * 2)
    assert [outcome.name for outcome in outcomes] == list(names)
    assert [outcome.exit_code for outcome in outcomes] == [0, 3, 0]
    assert [one.result.n_cells for one in outcomes if one.result] == [80, 80]
    assert outcomes[1].fault.startswith("absent.h5ad does not exist.")
    assert "broken failed: absent.h5ad does not exist." in caplog.text
    assert "Traceback" not in outcomes[1].fault


def test_a_mistake_of_ours_keeps_its_traceback(experiment):
    (outcome,) = run_each(operator.attrgetter("nonsense"), [experiment()], {}, [{}])
    assert outcome.exit_code == 1
    assert "Traceback" in outcome.fault
    assert "AttributeError" in outcome.fault


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (
            partial(signal.raise_signal, signal.SIGKILL),
            "killed by SIGKILL; the memory of this machine may be too small",
        ),
        (partial(signal.raise_signal, signal.SIGTERM), "killed by SIGTERM"),
        (partial(os._exit, 0), "ended with exit code 0 before it was done"),
        # what SIGINT does, also where a background shell made processes ignore it
        (partial(signal.default_int_handler, signal.SIGINT, None), "it was interrupted"),
    ],
)
def test_a_process_that_dies_is_a_failure(experiment, end, told):
    (outcome,) = run_each(NAME, [experiment()], {}, [{}], start_process=end)
    assert (outcome.exit_code, outcome.result) == (1, None)
    assert told in outcome.fault


def test_sigterm_reaches_the_running_experiments_and_starts_no_other(experiments, caplog):
    handler = signal.getsignal(signal.SIGTERM)
    threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    start = time.monotonic()
    with pytest.raises(StoppedBySignalError, match="SIGTERM") as caught:
        run_each(NAME, experiments(None, first=None, second=None), {}, [{}], start_process=partial(time.sleep, 100))
    assert caught.value.exit_code == 143
    assert time.monotonic() - start < 60
    assert "first failed: its process was killed by SIGTERM" in caplog.text
    assert "second" not in caplog.text
    assert signal.getsignal(signal.SIGTERM) == handler


@pytest.mark.parametrize("n_slots", [1, 2, 5])
def test_an_experiment_holds_a_slot_while_it_runs(experiments, monkeypatch, n_slots):
    lock, running, most, held = threading.Lock(), [], [], []

    def pretend(work, experiment, arguments, start_process):
        with lock:
            assert arguments["gpus"] not in running
            running.append(arguments["gpus"])
            most.append(len(running))
            held.append((experiment.name, arguments))
        time.sleep(0.02)
        with lock:
            running.remove(arguments["gpus"])
        return Outcome(experiment.name, result=work)

    monkeypatch.setattr(side_by_side, "_in_process", pretend)
    names = [f"run{number}" for number in range(6)]
    slots = [{"gpus": [number]} for number in range(n_slots)]
    outcomes = run_each(NAME, experiments(None, **dict.fromkeys(names)), {"force": True}, slots)
    assert [outcome.name for outcome in outcomes] == names
    assert max(most) == n_slots
    assert all(arguments["force"] for _, arguments in held)


@pytest.mark.parametrize(
    ("visible", "found"), [("", []), ("-1", []), ("0", [0]), ("2,5", [0, 1]), ("GPU-3f2a,GPU-77", [0, 1])]
)
def test_gpus_are_numbered_as_tensorflow_will_number_them(monkeypatch, visible, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_of_this_machine() == found
