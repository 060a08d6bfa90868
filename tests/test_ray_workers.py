"""Work on a Ray cluster; one local cluster serves all quick tests."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from discern.errors import DataError, ExperimentError
from discern.ray_workers import ray_workers


def square(number):
    return number**2, os.getpid()


def fail_at_three(number):
    if number == 3:
        raise DataError("three is no count")
    return number


@pytest.fixture(scope="module")
def local():
    with ray_workers(n_cpus=2) as workers:
        yield workers


def test_results_come_in_order_from_other_processes(local):
    results = list(local.map(square, range(12)))
    assert [value for value, _ in results] == [number**2 for number in range(12)]
    assert os.getpid() not in {pid for _, pid in results}


def test_an_error_is_the_one_that_was_raised(local):
    with pytest.raises(DataError, match=r"^three is no count$"):
        list(local.map(fail_at_three, range(12)))
    assert list(local.map(fail_at_three, range(3))) == [0, 1, 2]


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "host:without-a-number"])
def test_an_address_where_nothing_answers(address):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        free = one.getsockname()[1]
    with (
        pytest.raises(ExperimentError, match="No Ray cluster answers at.*ray start --head"),
        ray_workers(address.format(port=free)),
    ):
        pass


_LISTENERS = """
import os, sys
import psutil
if sys.argv[1] == "imported before":
    import ray
from discern.ray_workers import ray_workers

def listening(_):
    return os.getpid()

with ray_workers(n_cpus=1) as workers:
    list(workers.map(listening, [1]))
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                print(process.name(), connection.laddr.ip)
print("left:", os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"))
"""


def listeners(when):
    done = subprocess.run(
        [sys.executable, "-c", _LISTENERS, when], capture_output=True, text=True, timeout=240, check=True
    )
    *found, left = done.stdout.splitlines()
    assert left == "left: None"
    names = {line.split()[0] for line in found}
    assert {"gcs_server", "raylet"} <= names, found
    return {line.split()[-1].removeprefix("::ffff:") for line in found}, done.stderr


@pytest.mark.slow
def test_a_local_cluster_listens_on_the_loopback_interface_only():
    addresses, errors = listeners("imported by us")
    assert addresses == {"127.0.0.1"}
    assert errors == ""


@pytest.mark.slow
def test_a_cluster_that_others_reach_is_told():
    addresses, errors = listeners("imported before")
    reachable = bool(addresses - {"127.0.0.1", "::1"})
    assert reachable == ("Ray listens on all network interfaces" in errors)


@pytest.mark.slow
def test_process_on_two_nodes_gives_what_one_machine_gives(data_dir, tmp_path):
    """A head and a second node, started by hand as the documentation says."""
    ray = str(Path(sys.executable).with_name("ray"))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    environment = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_AUTH_MODE": "token"}
    start = [ray, "start", "--block", "--num-cpus=1", "--disable-usage-stats"]

    def run(*command):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr

    def started(*options):
        log = tmp_path / f"node{len(nodes)}.log"
        with log.open("w") as stream:
            nodes.append(subprocess.Popen([*start, *options], env=environment, stdout=stream, stderr=stream))
        until = time.monotonic() + 120
        while "Ray runtime started" not in log.read_text():
            assert nodes[-1].poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)

    nodes: list[subprocess.Popen] = []
    parameters = tmp_path / "parameters.json"
    content = (
        '{"exp_param": {"experiments_dir": "%s"}, "experiments": {"one": {"input_ds": {"raw_input": ["%s"],'
        ' "filtering": {"min_genes": 100, "min_cells": 3}}, "model": {}, "training": {}}}}'
    )
    parameters.write_text(content % (tmp_path / "plain", data_dir / "pbmc_citeseq_10k5k.h5ad"))
    run(sys.executable, "-m", "discern", "process", str(parameters))
    parameters.write_text(content % (tmp_path / "ray", data_dir / "pbmc_citeseq_10k5k.h5ad"))
    try:
        started("--head", f"--port={port}", "--include-dashboard=false")
        started(f"--address=127.0.0.1:{port}")
        log = run(sys.executable, "-m", "discern", "process", str(parameters), f"--ray=127.0.0.1:{port}", "-v")
    finally:
        for node in reversed(nodes):  # `ray stop` would end other clusters of this machine too
            node.terminate()
            node.wait(timeout=60)
    assert "2 CPUs on 2 machines" in log
    records = {path.name: path.read_bytes() for path in (tmp_path / "plain/one/TF_records").iterdir()}
    assert records == {path.name: path.read_bytes() for path in (tmp_path / "ray/one/TF_records").iterdir()}
    assert len(records) > 2
