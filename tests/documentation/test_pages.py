"""What pages say of the program is so."""

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
from click import Context

import discern
from discern.cli.main import cli
from discern.cli.merge_parameter import merge_parameter
from discern.cli.session import Session
from discern.config.experiment import ExperimentConfig, ParametersFile
from discern.config_section import validate_section
from discern.io.experiment_folder import ExperimentFolder
from discern.tuning.config import search_config

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
_SHORTEST_PIECE = 8
_QUOTED_SHARE = 0.35  # the rest are names and numbers of the example
_OF_SCRIPTS = {"benchmarks.md", "quality.md"}  # they name options of scripts outside of the package


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def typed(program):
    """Return all commands of a program that pages tell to type."""
    lines = [
        (name, line.strip())
        for name, text in PAGES.items()
        for block in blocks(text, "sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return sorted({(name, line) for name, line in lines if line.startswith(f"{program} ")})


def named(program):
    """Return all mentions of a program in running text, which may be incomplete."""
    found = set()
    for name, text in PAGES.items():
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        found |= {(name, span) for span in re.findall(rf"`({program} [^`\n]+)`", prose)}
    return sorted(found)


@pytest.mark.parametrize(("page", "line"), typed("discern"))
def test_commands_parse(monkeypatch, page, line):
    ran = []
    for name, command in cli.commands.items():
        monkeypatch.setattr(command, "callback", lambda verb=name, **given: ran.append(verb))
    cli(shlex.split(line, comments=True)[1:], standalone_mode=False, obj=Session())
    assert len(ran) == 1


@pytest.mark.parametrize(("page", "span"), named("discern"))
def test_commands_in_running_text_exist(page, span):
    verb, *words = span.split()[1:]
    if verb == "--version":
        return
    command = cli.get_command(Context(cli), verb)
    assert command is not None
    known = {option for one in command.params for option in one.opts}
    assert {word.split("=")[0] for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize(("page", "line"), named("merge_parameter"))
def test_merge_parameter_parses(monkeypatch, page, line):
    ran = []
    monkeypatch.setattr(merge_parameter, "callback", lambda **given: ran.append(given))
    merge_parameter(shlex.split(line, comments=True)[1:], standalone_mode=False)
    assert ran[0]["files"]


def test_options_in_running_text_exist():
    prose = [text for name, text in PAGES.items() if name not in _OF_SCRIPTS]
    known = {option for command in (cli, *cli.commands.values()) for one in command.params for option in one.opts}
    named = {span.split()[0].split("=")[0] for text in prose for span in re.findall(r"`(--[^`\n]+)`", text)}
    of_other_programs = {"--all_batches", "--help"}
    assert {"--freeze", "--thin", "--without-cells"} <= named
    assert named <= known | of_other_programs


@pytest.mark.parametrize(
    ("page", "block"), [(name, block) for name, text in PAGES.items() for block in blocks(text, "json")]
)
def test_json_is_valid(page, block):
    content = json.loads(block)
    if "search_space" in content:
        search_config(content)
    elif "experiments" in content:
        validate_section(ParametersFile, content)
    else:
        validate_section(ExperimentConfig, content)


@pytest.mark.parametrize(
    ("page", "block"), [(name, block) for name, text in PAGES.items() for block in blocks(text, "python")]
)
def test_python_compiles(page, block):
    compile(block, page, "exec")


def test_files_are_where_the_page_says():
    folder = ExperimentFolder(Path())
    names = {
        getattr(folder, name).name
        for name, value in vars(ExperimentFolder).items()
        if isinstance(value, property) and isinstance(getattr(folder, name), Path)
    }
    hidden_or_gone_afterwards = {
        ".staging",
        ".lock",
        "moves.json",
        "counts",
        "original_data",
        "last_state.damaged.hdf5",
    }
    missing = {name for name in names if not re.search(rf"\b{re.escape(name)}\b", PAGES["files.md"])}
    assert missing - hidden_or_gone_afterwards == set()


def pieces_of_messages():
    """Return every text of the package that is long enough to be told from others."""
    found = set()
    for path in Path(discern.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                # messages of logging have places like %s
                found |= {" ".join(piece.split()) for piece in re.split(r"%[-+.,\d]*[sdgf%]", node.value)}
    return sorted((piece for piece in found if len(piece) >= _SHORTEST_PIECE), key=len, reverse=True)


@pytest.fixture(scope="module")
def pieces():
    return pieces_of_messages()


MESSAGES = [" ".join(block.split()) for block in blocks(PAGES["troubleshooting.md"], "text")]


@pytest.mark.parametrize("message", MESSAGES)
def test_quoted_messages_are_those_of_the_program(pieces, message):
    left = message
    for piece in pieces:
        left = left.replace(piece, "")
    assert len(left) < (1 - _QUOTED_SHARE) * len(message), left


def test_messages_were_found():
    assert len(MESSAGES) >= 10
