"""GPUs and threads; TensorFlow itself is replaced, as its choice cannot be undone in a process."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from discern.training import devices
from discern.training.devices import set_gpu_and_threads, wants_xla


@pytest.fixture
def tensorflow(monkeypatch):
    """A machine with two GPUs."""
    state = SimpleNamespace(gpus=["gpu0", "gpu1"], visible=None, growing=[], inter=None, intra=None)
    monkeypatch.setattr(devices.tf.config, "list_physical_devices", lambda kind: list(state.gpus))
    monkeypatch.setattr(
        devices.tf.config, "set_visible_devices", lambda chosen, kind: setattr(state, "visible", chosen)
    )
    monkeypatch.setattr(
        devices.tf.config.experimental, "set_memory_growth", lambda gpu, grow: state.growing.append((gpu, grow))
    )
    threading = devices.tf.config.threading
    monkeypatch.setattr(threading, "set_inter_op_parallelism_threads", lambda n: setattr(state, "inter", n))
    monkeypatch.setattr(threading, "set_intra_op_parallelism_threads", lambda n: setattr(state, "intra", n))
    monkeypatch.setattr(devices, "available_cpus", lambda: 8)
    return state


def test_chosen_gpus_are_visible_and_grow(tensorflow, caplog):
    set_gpu_and_threads(0, [1])
    assert tensorflow.visible == ["gpu1"]
    assert tensorflow.growing == [("gpu1", True)]
    assert caplog.records == []


def test_an_absent_gpu_is_no_warning_where_there_is_none(tensorflow, caplog):
    caplog.set_level("INFO")
    tensorflow.gpus = []
    set_gpu_and_threads(0, [0])
    assert tensorflow.visible == []
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("INFO", "GPU 0 is not there (0 found); using the CPU.")


def test_the_gpus_that_are_there_are_used(tensorflow, caplog):
    set_gpu_and_threads(0, [1, 5])
    assert tensorflow.visible == ["gpu1"]
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "GPU 5 is not there (2 found); using the others.")


def test_a_negative_index_is_no_gpu(tensorflow, caplog):
    set_gpu_and_threads(0, [-1])
    assert tensorflow.visible == []
    assert "GPU -1 is not there" in caplog.text


def test_no_gpu_wanted_and_none_said(tensorflow):
    set_gpu_and_threads(0, [])
    assert tensorflow.visible == []
    tensorflow.visible = "untouched"
    set_gpu_and_threads(0, None)
    assert tensorflow.visible == "untouched"


@pytest.mark.parametrize(("asked", "inter", "intra"), [(5, 2, 5), (1, 1, 1), (64, 4, 8), (0, None, None)])
def test_threads(tensorflow, asked, inter, intra):
    set_gpu_and_threads(asked, None)
    assert (tensorflow.inter, tensorflow.intra) == (inter, intra)


def test_a_second_call_in_a_running_process_is_a_warning_at_most():
    program = """
import logging
logging.basicConfig(level="INFO")
from discern.training.devices import set_gpu_and_threads, wants_xla
import tensorflow as tf
set_gpu_and_threads(1, [0])
assert float(tf.reduce_sum(tf.ones(3))) == 3
set_gpu_and_threads(1, [0])
set_gpu_and_threads(2, [])
print("done")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "done"
    assert "is not there" in result.stderr


@pytest.mark.parametrize(
    ("setting", "gpus", "wanted"),
    [("auto", [], False), ("auto", ["gpu0"], True), (True, [], True), (False, ["gpu0"], False)],
)
def test_the_step_is_compiled_by_default_on_a_gpu_only(monkeypatch, setting, gpus, wanted):
    monkeypatch.setattr(devices.tf.config, "get_visible_devices", lambda kind: gpus)
    assert wants_xla(setting) is wanted


def test_a_step_on_several_devices_is_not_compiled(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(devices.tf.config, "get_visible_devices", lambda kind: ["gpu0", "gpu1"])
    monkeypatch.setattr(devices.tf.distribute, "get_strategy", lambda: SimpleNamespace(num_replicas_in_sync=2))
    assert wants_xla("auto") is wants_xla(False) is False
    assert caplog.records == []
    assert wants_xla(True) is False
    assert "a step on several GPUs is not compiled" in caplog.text


def test_a_gpu_named_twice_is_one(tensorflow):
    set_gpu_and_threads(0, [1, 1])
    assert tensorflow.visible == ["gpu1"]


@pytest.mark.parametrize(
    ("setting", "gpus", "switched", "told"),
    [
        (True, ["gpu0"], 1, "deterministic operations are slower"),
        ("auto", ["gpu0"], 0, "two runs differ in the last bits"),
        (False, ["gpu0"], 0, None),
        (True, [], 0, None),
        ("auto", [], 0, None),
    ],
)
def test_deterministic_operations_are_for_gpus_that_ask(monkeypatch, tensorflow, caplog, setting, gpus, switched, told):
    caplog.set_level("INFO")
    calls = []
    monkeypatch.setattr(devices.tf.config, "get_visible_devices", lambda kind: gpus)
    monkeypatch.setattr(devices.tf.config.experimental, "enable_op_determinism", lambda: calls.append(1))
    set_gpu_and_threads(0, None, setting)
    assert len(calls) == switched
    assert told in caplog.text if told else caplog.records == []


def test_gpus_are_named_by_their_model(monkeypatch):
    details = {"a": {"device_name": "NVIDIA H100"}, "b": {}}
    gpus = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]
    monkeypatch.setattr(devices.tf.config, "get_visible_devices", lambda kind: gpus)
    monkeypatch.setattr(devices.tf.config.experimental, "get_device_details", lambda gpu: details[gpu.name])
    assert devices.gpu_names() == ["NVIDIA H100", "b"]
