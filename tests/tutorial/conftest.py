import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = Path(__file__).with_name("run_notebook.py")


@pytest.fixture(scope="session")
def tutorial():
    """The notebook as it is kept; not to be changed."""
    return nbformat.read(ROOT / "Tutorial.ipynb", as_version=4)


@pytest.fixture(scope="session")
def run_notebook():
    """A function that runs a notebook in a folder, in processes of its own, and returns it with fresh outputs."""

    def run(notebook, folder, *options):
        source, target = folder / "source.ipynb", folder / "run.ipynb"
        nbformat.write(notebook, source)
        command = [sys.executable, RUN, source, "--out", target, "--folder", folder, *options]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr[-4000:]
        return nbformat.read(target, as_version=4)

    return run
