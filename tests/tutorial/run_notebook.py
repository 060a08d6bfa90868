"""Run a notebook from top to bottom with this interpreter, offline, and write it with fresh outputs.

``python tests/tutorial/run_notebook.py Tutorial.ipynb`` renews the tutorial in place.
"""

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "http://127.0.0.1:9"  # a port where nobody answers


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute all cells in a folder; the first error is raised.

    Args:
        notebook: Its outputs are replaced.
        folder: The current folder of the kernel; keeps what the cells write.
    """
    with tempfile.TemporaryDirectory() as settings:
        _prepare_environment(Path(settings))
        # no folders: a kernel that the user installed under this name would be another interpreter
        specs = KernelSpecManager(kernel_dirs=[])
        kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
        client = NotebookClient(
            notebook,
            km=kernel,
            timeout=600,
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
        )
        try:
            client.execute()
        finally:
            for cell in notebook.cells:
                for output in cell.get("outputs", []):
                    _tidy(output, cell.metadata.get("mystnb", {}).get("image", {}).get("alt"))


def _prepare_environment(settings: Path) -> None:
    """Let the kernel find this package and its command, and neither a network nor settings of the user."""
    command = settings / "discern"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m discern "$@"\n')
    command.chmod(0o755)
    os.environ["PATH"] = f"{settings}{os.pathsep}{os.environ['PATH']}"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    (settings / "matplotlibrc").touch()
    os.environ |= {"IPYTHONDIR": str(settings), "JUPYTER_CONFIG_DIR": str(settings)}
    os.environ["MATPLOTLIBRC"] = str(settings / "matplotlibrc")
    os.environ |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)


def _tidy(output: nbformat.NotebookNode, alternative_text: str | None) -> None:
    """Give pictures the alternative text of their cell, and lines of commands plain ends."""
    if "text" in output:
        output.text = "\n".join(line.rstrip() for line in output.text.split("\n"))
    if alternative_text and "image/png" in output.get("data", {}):
        output.metadata["image/png"] = {**output.metadata.get("image/png", {}), "alt": alternative_text}


def _first_part(notebook: nbformat.NotebookNode, heading: str) -> None:
    """Drop the heading and all that follows it."""
    starts = [number for number, cell in enumerate(notebook.cells) if cell.source.startswith(heading)]
    if not starts:
        raise SystemExit(f"No cell starts with '{heading}'.")
    del notebook.cells[starts[0] :]


def main() -> None:
    """Run one notebook."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--out", type=Path, help="Where to write it; in place when absent.")
    parser.add_argument("--folder", type=Path, help="Current folder of the kernel; a temporary one when absent.")
    parser.add_argument("--before", metavar="HEADING", help="Run what stands before this heading only.")
    given = parser.parse_args()
    notebook = nbformat.read(given.notebook, as_version=4)
    if given.before:
        _first_part(notebook, given.before)
    target = given.out or given.notebook
    with tempfile.TemporaryDirectory() as temporary:
        try:
            run(notebook, given.folder or Path(temporary))
        except CellExecutionError:
            if given.out:  # to look at; the tutorial itself is replaced by a whole run only
                nbformat.write(notebook, target)
            raise
    nbformat.write(notebook, target)


if __name__ == "__main__":
    main()
