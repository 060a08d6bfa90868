"""The tutorial as it is kept: fresh outputs, pictures with alternative texts, nothing of the machine it ran on."""

import getpass
import re
import shlex
import socket
import sys
from pathlib import Path

import pytest

from discern.cli.main import cli
from discern.cli.session import Session

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_OUTPUT = {"c-plain-output", "c-imports", "c-parameters", "c-evaluate"}
PICTURES = {"c-losses", "c-umap", "c-genes-per-cell", "c-fold-changes"}
MOST_BYTES = 1_500_000
ABSOLUTE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|var|work|Users|usr|opt|mnt|builds)/|\b[A-Z]:\\")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [(cell.id, output) for cell in code_cells(notebook) for output in cell.outputs]


def test_it_was_run_once_from_top_to_bottom(tutorial):
    cells = code_cells(tutorial)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert {cell.id for cell in cells if not cell.outputs} == WITHOUT_OUTPUT


def test_nothing_went_wrong_and_nothing_warned(tutorial):
    found = outputs(tutorial)
    assert [cell for cell, output in found if output.output_type == "error" or output.get("name") == "stderr"] == []
    printed = "".join(output.text for _, output in found if output.output_type == "stream")
    assert re.findall(r"\w*Warning\b.*|Traceback.*|Error:.*|command not found.*", printed) == []


def test_pictures_are_kept_with_alternative_texts(tutorial):
    pictures = [(cell, output) for cell, output in outputs(tutorial) if "image/png" in output.get("data", {})]
    assert {cell for cell, _ in pictures} == PICTURES
    assert len(pictures) == len(PICTURES)
    for _, picture in pictures:
        assert len(picture.metadata["image/png"]["alt"]) > 40


def test_it_tells_nothing_of_the_machine(tutorial):
    text = (ROOT / "Tutorial.ipynb").read_text(encoding="utf-8")
    readable = re.sub(r'"image/png": "[^"]*"', "", text)
    assert ABSOLUTE_PATH.findall(readable) == []
    names = {getpass.getuser(), socket.gethostname(), str(ROOT), sys.prefix} - {"discern", "root", "user"}
    assert [name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", readable)] == []


def test_it_is_small(tutorial):
    assert (ROOT / "Tutorial.ipynb").stat().st_size < MOST_BYTES
    assert set(tutorial.metadata) == {"kernelspec", "language_info"}


def test_its_commands_exist(tutorial, monkeypatch):
    parsed = []
    for name, command in cli.commands.items():
        monkeypatch.setattr(command, "callback", lambda verb=name, **_: parsed.append(verb))
    lines = [line for cell in code_cells(tutorial) for line in cell.source.splitlines() if line.startswith("!")]
    for line in lines:
        words = shlex.split(line.removeprefix("!").split(">")[0])
        assert words[0] == "discern"
        cli(words[1:], standalone_mode=False, obj=Session())
    assert {"validate", "process", "train", "project", "onlinetraining", "evaluate", "report"} <= set(parsed)
    assert len(parsed) == len(lines)


@pytest.mark.parametrize("heading", ["## 1. ", "## 2. ", "## 3. ", "## 4. ", "## 5. "])
def test_it_has_its_parts(tutorial, heading):
    texts = [cell.source for cell in tutorial.cells if cell.cell_type == "markdown"]
    assert sum(bool(re.search(f"^{re.escape(heading)}", text, flags=re.MULTILINE)) for text in texts) == 1
