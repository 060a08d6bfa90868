"""Whatever the documentation tells a user to type must exist."""

import re
import shlex
from pathlib import Path

import pytest

from discern.cli.main import cli
from discern.cli.merge_parameter import merge_parameter
from discern.cli.session import Session

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(ROOT.glob("*.md"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def fenced_lines(text):
    """Return the lines of all fenced code blocks; a line that ends with a backslash goes on."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def inline(text):
    """Return all code spans outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def lines_of(program):
    found = [
        (document.name, line) for document in DOCUMENTS for line in fenced_lines(document.read_text(encoding="utf-8"))
    ]
    found += [(document.name, span) for document in DOCUMENTS for span in inline(document.read_text(encoding="utf-8"))]
    return sorted({(name, line) for name, line in found if line.startswith(f"{program} ")})


@pytest.fixture
def parsed(monkeypatch):
    """The parameters a command would run with; nothing runs."""
    found = {}
    for name, command in cli.commands.items():
        monkeypatch.setattr(command, "callback", lambda verb=name, **given: found.update({verb: given}))
    monkeypatch.setattr(merge_parameter, "callback", lambda **given: found.update(merge_parameter=given))
    return found


@pytest.mark.parametrize(("document", "line"), lines_of("discern"))
def test_discern_commands(parsed, document, line):
    words = shlex.split(line, comments=True)[1:]
    if words[0] in cli.commands and len(words) == 1:
        return  # the verb alone, in running text
    cli(words, standalone_mode=False, obj=Session())
    assert len(parsed) == 1


@pytest.mark.parametrize(("document", "line"), lines_of("merge_parameter"))
def test_merge_parameter_commands(parsed, document, line):
    merge_parameter(shlex.split(line, comments=True)[1:], standalone_mode=False)
    assert parsed["merge_parameter"]["files"]


@pytest.mark.parametrize(("document", "line"), lines_of("make"))
def test_make_targets(document, line):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    words = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
    assert set(words) <= targets


def test_the_readme_shows_the_main_job():
    commands = fenced_lines(README)
    verbs = [line.split()[1] for line in commands if line.startswith("discern ")]
    assert [verb for verb in verbs if verb in {"process", "train", "project"}][:3] == ["process", "train", "project"]
    assert {"make demo", "make test"} <= set(commands)


def test_options_in_running_text_exist():
    known = {option for command in (cli, *cli.commands.values()) for one in command.params for option in one.opts}
    named = {span.split()[0] for span in inline(README) if span.startswith("--")}
    assert named
    assert named <= {"--help", *known}


@pytest.mark.parametrize("document", [document.name for document in DOCUMENTS])
def test_links_to_files_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in target]
    assert [target for target in targets if not (ROOT / target).exists()] == []
