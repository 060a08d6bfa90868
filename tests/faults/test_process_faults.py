"""``process`` that is killed or meets a full disk: nothing is left that a later command takes for whole."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

KB = 1024


@pytest.fixture
def parameters(golden_dir, tmp_path):
    path = tmp_path / "parameters.json"
    section = {
        "raw_input": [str(golden_dir / f"input_b{number}.h5ad") for number in range(3)],
        "filtering": {"min_genes": 100, "min_cells": 3},
    }
    experiments = {"one": {"input_ds": section, "model": {}, "training": {}}}
    path.write_text(json.dumps({"exp_param": {"experiments_dir": str(tmp_path)}, "experiments": experiments}))
    return path


def process(parameters, *options, file_limit=resource.RLIM_INFINITY):
    return subprocess.Popen(
        [sys.executable, "-m", "discern", "process", str(parameters), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit)),
    )


def results(folder):
    """Content of everything that a later command reads."""
    wanted = [*folder.glob("TF_records/*"), *folder.glob("processed_data/*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in wanted if path.name[0] != "."}


def finished(running):
    with running:
        errors = running.communicate(timeout=120)[1]
    return running.returncode, errors


@pytest.fixture
def whole(parameters, tmp_path):
    """The results of an undisturbed run, and how long it took."""
    start = time.monotonic()
    code, errors = finished(process(parameters))
    assert code == 0, errors
    found = results(tmp_path / "one")
    assert len(found) == 4
    return found, time.monotonic() - start


# the pieces of scratch are about 80 to 130 kB, the records 70 to 640 kB, the processed file 2 MB
@pytest.mark.parametrize("limit", [20 * KB, 100 * KB, 300 * KB, 1000 * KB])
def test_a_disk_that_is_full_at_any_moment(parameters, tmp_path, limit):
    code, errors = finished(process(parameters, file_limit=limit))
    assert code == 4
    assert "Check that the folder can be written and that the disk has room" in errors
    assert "Traceback" not in errors
    assert results(tmp_path / "one") == {}
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name]


def test_a_full_disk_leaves_earlier_results(parameters, tmp_path, whole):
    code, _ = finished(process(parameters, "--force", file_limit=300 * KB))
    assert code == 4
    assert results(tmp_path / "one") == whole[0]


@pytest.mark.slow
def test_kills_at_any_moment(parameters, tmp_path, whole):
    expected, seconds = whole
    moments = np.random.default_rng(0).uniform(0.3, 1.0, 5) * seconds
    for moment in moments:
        running = process(parameters, "--force")
        time.sleep(moment)
        running.send_signal(signal.SIGKILL)
        finished(running)
        assert results(tmp_path / "one").keys() <= expected.keys()
        for name, content in results(tmp_path / "one").items():
            assert content == expected[name]
    code, errors = finished(process(parameters, "--force"))
    assert code == 0, errors
    assert results(tmp_path / "one") == expected
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name or path.name.endswith(".old")]


def test_a_killed_first_run_is_not_taken_for_processed(parameters, tmp_path):
    running = process(parameters)
    scratch = tmp_path / "one"
    deadline = time.monotonic() + 60
    while not list(scratch.glob(".counts.*.tmp/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    finished(running)
    assert results(scratch) == {}
    train = subprocess.run(
        [sys.executable, "-m", "discern", "train", str(parameters)], capture_output=True, text=True, timeout=120
    )
    assert train.returncode == 4
    assert "Run `discern process` first" in train.stderr
