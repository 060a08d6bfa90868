"""What is generated for the pages names everything there is."""

import json
import re

import click
import pytest
from generated_content import commands, json_keys, names, notebook, pages, python_names
from pydantic import BaseModel

from discern import errors
from discern.cli.main import cli
from discern.config.experiment import ExperimentConfig, ParametersFile
from discern.evaluation.measures import MEASURES
from discern.registry import DISTRIBUTIONS, OPTIMIZERS, RECONSTRUCTION_LOSSES
from discern.tuning.config import SearchConfig
from discern.tuning.metrics import METRICS


def keys_of_schema(schema, definitions):
    """Return all keys of objects of a JSON schema that are no older spellings."""
    found = set()
    for definition in [schema, *definitions.values()]:
        found |= {key for key, value in definition.get("properties", {}).items() if not value.get("deprecated")}
    return found


@pytest.mark.parametrize(
    ("file", "reference"),
    [(ParametersFile, json_keys.parameters_reference), (SearchConfig, json_keys.search_reference)],
)
def test_every_key_of_a_schema_is_on_its_page(file, reference):
    schema = file.model_json_schema()
    terms = set(re.findall(r"^`(\w+)` · ", reference(), flags=re.MULTILINE))
    assert keys_of_schema(schema, schema["$defs"]) == terms


@pytest.mark.parametrize("root", [ParametersFile, ExperimentConfig, SearchConfig])
def test_every_key_has_a_meaning(root):
    without = [
        f"{section.path}.{key.name}"
        for section in json_keys.sections(root)
        for key in json_keys.keys(section)
        if not key.meaning.strip()
    ]
    assert without == []


def test_sections_have_the_paths_of_the_file():
    paths = {section.path for section in json_keys.sections(ExperimentConfig)}
    assert {"", "input_ds.scale.fixed_scaling", "model.encoder", "training.early_stopping", "training.online"} <= paths


def test_sections_that_a_name_chooses_are_told_apart():
    titles = [section.title for section in json_keys.sections(SearchConfig)]
    assert {"`scheduler`: ASHA", "`scheduler`: FIFO", "`searcher`: Optuna"} <= set(titles)
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 0}, "whole number ≥ 0"),
        ({"type": "number", "exclusiveMinimum": 0.0, "maximum": 1.0}, "number > 0, ≤ 1"),
        ({"anyOf": [{"type": "boolean"}, {"const": "auto", "type": "string"}]}, 'true or false or `"auto"`'),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"enum": ["min", "max"], "type": "string"}, '`"min"` or `"max"`'),
        ({"$ref": "#/$defs/Other"}, "object"),
    ],
)
def test_types_in_words(schema, words):
    assert json_keys.type_in_words(schema) == words


def test_a_meaning_of_a_parent_class_is_found():
    class Parent(BaseModel):
        """A parent.

        Attributes:
            first: Said by the parent,
                on two lines.
            second: Said by the parent.
        """

        first: int
        second: int = 3

    class Child(Parent):
        """A child.

        Attributes:
            second: Said by the child with ``code``.
        """

    first, second = json_keys.keys(json_keys.Section("", Child))
    assert (first.meaning, first.default) == ("Said by the parent, on two lines.", "required")
    assert (second.meaning, second.default) == ("Said by the child with `code`.", "default `3`")


def test_every_command_and_option_is_on_its_page():
    page = commands.command_reference()
    for name, command in cli.commands.items():
        assert f"## `discern {name}`" in page
        shown = page.split(f"## `discern {name}`\n")[1].split("\n## ")[0]
        for option in (one for one in command.params if isinstance(one, click.Option) and not one.hidden):
            where = page if option.name in {"verbose", "quiet", "debug"} else shown
            assert all(re.search(rf"`{re.escape(spelling)}[ `]", where) for spelling in option.opts), option.name
    assert "## `merge_parameter`" in page


def test_help_text_becomes_markdown():
    text = "Write report.html; `discern import` reads it. See --no-raw.  [default: x_y]"
    assert (
        commands.as_markdown(text) == "Write `report.html`; `discern import` reads it. See `--no-raw`.  Default: x_y."
    )
    assert commands.as_markdown("a * b < c [d]") == r"a \* b \< c \[d\]"


def test_tables_name_everything():
    table = names.names_of_parameters()
    assert all(f"`{name}`" in table for name in [*OPTIMIZERS.entries, *RECONSTRUCTION_LOSSES.entries])
    assert "`p (required)`" in table
    assert all(f"| `{name}` |" in names.distributions() for name in DISTRIBUTIONS.entries)
    assert all(f"| `{name}` |" in names.reported_numbers() for name in METRICS)
    assert all(f"| `{name}` |" in names.measures() for name in MEASURES)


def test_exit_codes_are_those_of_the_errors():
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+) \|$", names.exit_codes(), flags=re.MULTILINE)
    known = {name: one for name, one in vars(errors).items() if hasattr(one, "exit_code")}
    assert {name: int(code) for code, name, _ in rows} == {name: one.exit_code for name, one in known.items()}
    assert all(meaning.strip() for *_, meaning in rows)


def test_every_object_is_documented_once():
    directives = re.findall(
        r"^\.\. auto\w+:: (\S+)$", python_names.interface() + python_names.published_modules(), re.M
    )
    assert len(directives) == len(set(directives))
    assert {"discern.DISCERN", "discern.WAERecipe", "discern.pl.umap", "discern.errors.DataError"} <= set(directives)
    assert {"discern.estimators.losses.HuberLoss", "discern.mmd.mmd_loss", "discern.io.DISCERNData"} <= set(directives)


def test_markers_give_way_to_what_they_name():
    assert "MaskedCrossEntropy" not in pages.filled("# A page\n")
    assert pages.filled("a\n<!-- generated: exit-codes -->\nb\n").startswith("a\n| exit code |")
    with pytest.raises(KeyError, match="no-such-thing"):
        pages.filled("<!-- generated: no-such-thing -->")


def test_links_of_the_tutorial_lead_from_the_folder_of_the_pages(tmp_path):
    text = "[a](README.md) [b](docs/files.md#job) [c](parameters.json) [d](https://x.org/y.md) [e](#part)"
    cells = [
        {"cell_type": "markdown", "source": [text[:9], text[9:]]},
        {"cell_type": "code", "source": "x](README.md)"},
    ]
    (tmp_path / "Tutorial.ipynb").write_text(json.dumps({"cells": cells}))
    prose, code = json.loads(notebook.tutorial_page(tmp_path / "Tutorial.ipynb"))["cells"]
    expected = "[a](index.md) [b](files.md#job) [c](../parameters.json) [d](https://x.org/y.md) [e](#part)"
    assert prose["source"] == expected
    assert code["source"] == "x](README.md)"


def test_a_missing_tutorial_is_told(tmp_path):
    page = json.loads(notebook.tutorial_page(tmp_path / "Tutorial.ipynb"))
    assert page["nbformat"] == 4
    assert "is not part of this source tree" in page["cells"][0]["source"]
