"""TensorFlow itself is replaced by a module of a few lines: what matters is what reaches stderr."""

import os
import subprocess
import sys

import pytest

NOISY = """
import os
os.write(2, b"I0000 port.cc: noise while importing\\n")
class config:
    @staticmethod
    def list_physical_devices():
        os.write(2, b"cuda: noise while looking for devices\\n")
"""
BROKEN = NOISY + 'os.write(2, b"the reason\\n")\nraise ImportError("libfoo.so is missing")\n'


@pytest.fixture
def import_tensorflow(tmp_path):
    def run(module, verbosity):
        (tmp_path / "tensorflow.py").write_text(module)
        script = (
            f"from discern.cli.quiet_tensorflow import import_tensorflow; import_tensorflow({verbosity}); "
            "import os, sys; sys.stderr.write('afterwards\\n')"
        )
        paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        return subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "PYTHONPATH": paths},
        )

    return run


@pytest.mark.parametrize("verbosity", [-1, 0])
def test_notes_are_held_back(import_tensorflow, verbosity):
    finished = import_tensorflow(NOISY, verbosity)
    assert (finished.returncode, finished.stderr) == (0, "afterwards\n")


def test_notes_are_shown_when_details_are_asked_for(import_tensorflow):
    finished = import_tensorflow(NOISY, 1)
    assert "noise while importing" in finished.stderr
    assert finished.stderr.endswith("afterwards\n")


def test_a_failed_import_shows_what_was_held_back(import_tensorflow):
    finished = import_tensorflow(BROKEN, 0)
    assert finished.returncode == 1
    assert "the reason" in finished.stderr
    assert "ImportError: libfoo.so is missing" in finished.stderr
