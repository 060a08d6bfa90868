import re

import tensorflow as tf

from discern.workflows.doctor import examine


def test_every_device_multiplies_two_matrices():
    found = dict(examine())
    devices = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    assert devices
    for device in devices:
        assert re.fullmatch(r"\d+ GFLOP/s, correct", found[f"matrix product, {device}"])


def test_versions_threads_and_memory_are_told():
    found = dict(examine())
    assert found["tensorflow"] == tf.__version__
    assert all(
        name in found for name in ("discern", "Python", "keras", "anndata", "scanpy", "TensorFlow threads", "GPUs")
    )
    assert re.fullmatch(r"\d+ usable of \d+", found["CPUs"])
    assert re.fullmatch(r"[\d.]+ GiB free of [\d.]+ GiB", found["memory"])


def test_a_device_that_fails_is_told(monkeypatch):
    def fails(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    monkeypatch.setattr(tf.linalg, "matmul", fails)
    assert dict(examine())["matrix product, CPU:0"] == "failed: out of memory"


def test_a_device_that_computes_nonsense_is_told(monkeypatch):
    right = tf.linalg.matmul
    monkeypatch.setattr(tf.linalg, "matmul", lambda a, b: right(a, b) + 100.0)
    assert "WRONG" in dict(examine())["matrix product, CPU:0"]
