"""What every test may use: where the golden numbers and the real data are, and the --runslow switch."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser):
    parser.addoption("--runslow", action="store_true", help="also run tests marked slow")


def pytest_configure(config):
    """Quick tests spend a quarter of their time in compiling what runs for a second; slow ones compile as users do."""
    if not config.getoption("--runslow"):
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--runslow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow; run with --runslow"))


def _folder(variable: str, default: Path) -> Path:
    folder = Path(os.environ.get(variable, default))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set {variable} to the folder")
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets."""
    return _folder("DISCERN_DATA", SHARED / "data")


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """The folder of numbers the published program produced."""
    return _folder("DISCERN_GOLDEN", SHARED / "golden")


_TWO_CPUS = """
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
TWO = ["CPU:0", "CPU:1"]
"""


@pytest.fixture(scope="session")
def run_on_two_cpus():
    """A function that runs a program in a fresh process with two logical CPUs, named in TWO; returns what it prints."""

    def run(program: str, *arguments) -> str:
        command = [sys.executable, "-c", _TWO_CPUS + program, *map(str, arguments)]
        root = Path(__file__).resolve().parents[1]
        result = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=root)
        assert result.returncode == 0, result.stderr[-4000:]
        return result.stdout

    return run


@pytest.fixture
def in_the_foreground():
    """Ctrl-C is heard; a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
