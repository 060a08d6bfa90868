"""The reference of every key of parameters.json and hyperparameter_search.json, read from their configuration classes.

Types and limits come from the JSON schema that `discern schema` prints, meanings from the docstrings of the classes.
"""

import inspect
import json
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from discern.config.experiment import ExperimentConfig, ParametersFile
from discern.tuning.config import SearchConfig

_TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_ATTRIBUTES = re.compile(r"^Attributes:\n((?:[ ]+.*\n?|\n)*)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)
_LISTED_BELOW = {
    "activation_fn": "See [activations](#activations).",
    "reconstruction_loss": "See [reconstruction losses](#reconstruction-losses).",
}


@dataclass(frozen=True)
class Section:
    """One object of a configuration file.

    Attributes:
        path: JSON path of the object; empty for the file itself.
        config: Its class.
    """

    path: str
    config: type[BaseModel]

    @property
    def title(self) -> str:
        """The path, and the name where that chooses the class."""
        name = chosen_name(self.config)
        return f"`{self.path}`" if name is None or self.path == "model" else f"`{self.path}`: {name}"


@dataclass(frozen=True)
class Key:
    """One key of a section."""

    name: str
    type: str
    default: str
    meaning: str


def parameters_reference() -> str:
    """Return the keys of parameters.json as Markdown."""
    file = sections(ParametersFile, stop_at=(ExperimentConfig,))
    experiment = [Section(one.path or "experiments.NAME", one.config) for one in sections(ExperimentConfig)]
    return "\n".join(map(as_markdown, [*file, *experiment]))


def search_reference() -> str:
    """Return the keys of hyperparameter_search.json as Markdown."""
    return "\n".join(map(as_markdown, sections(SearchConfig)))


def sections(root: type[BaseModel], path: str = "", stop_at: tuple[type[BaseModel], ...] = ()) -> list[Section]:
    """Return a class and all classes of its fields, in the order of a file."""
    found = [Section(path, root)]
    for name, field in root.model_fields.items():
        for inner in _classes(field.annotation):
            if inner not in stop_at:
                found += sections(inner, f"{path}.{name}" if path else name, stop_at)
    return found


def keys(section: Section) -> list[Key]:
    """Return the keys of a section."""
    properties = section.config.model_json_schema()["properties"]
    meanings = _meanings(section.config)

    def meaning(name: str, field: FieldInfo) -> str:
        return " ".join(filter(None, [meanings.get(name) or _meaning(name, field), _LISTED_BELOW.get(name)]))

    return [
        Key(name, type_in_words(properties[name]), _default(field), meaning(name, field))
        for name, field in section.config.model_fields.items()
    ]


def as_markdown(section: Section) -> str:
    """Return a heading, what the section is for, and its keys as a definition list."""
    lines = [f"### {section.title}\n"] if section.path else []
    lines.append(f"{_as_text(_summary(section.config))}\n")
    for key in keys(section):
        lines.append(f"`{key.name}` · {key.type} · {key.default}\n: {key.meaning}\n")
    return "\n".join(lines)


def type_in_words(schema: Mapping[str, Any]) -> str:
    """Return what a key takes, from its JSON schema."""
    if "$ref" in schema:
        return "object"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(one)}`" for one in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(type_in_words(one) for one in schema[several]))
    if schema.get("type") == "array":
        return f"list of {type_in_words(schema['items'])}"
    limits = ", ".join(f"{sign} {schema[limit]:,.12g}" for limit, sign in _LIMITS.items() if limit in schema)
    return " ".join(filter(None, [_TYPES.get(schema.get("type", ""), "object"), limits]))


def chosen_name(config: type[BaseModel]) -> str | None:
    """Return the name that chooses a class, None when there is no choice."""
    field = config.model_fields.get("name")
    annotation: Any = None if field is None else field.annotation
    return str(typing.get_args(annotation)[0]) if typing.get_origin(annotation) is typing.Literal else None


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _classes(argument)


def _meanings(config: type[BaseModel]) -> dict[str, str]:
    """Return what docstrings say of every field; that of a class goes before those of its parents."""
    found: dict[str, str] = {}
    for one in reversed(config.__mro__):
        for block in _ATTRIBUTES.findall(_docstring(one)):
            found |= {name: _as_text(" ".join(text.split())) for name, text in _ATTRIBUTE.findall(block)}
    return found


def _meaning(name: str, field: FieldInfo) -> str:
    inner = list(_classes(field.annotation))
    if inner:
        return _as_text(_summary(inner[0]))
    return "Chooses what the other keys of this object are." if name == "name" else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if not isinstance(default, BaseModel):
        return f"default `{json.dumps(default)}`"
    name = chosen_name(type(default))
    return "default: as below" if name is None else f"default: {name}"


def _summary(config: type[BaseModel]) -> str:
    text = _ATTRIBUTES.sub("", _docstring(config))
    return re.split(r"^Source:", text, flags=re.MULTILINE)[0].strip()


def _docstring(config: type) -> str:
    return inspect.cleandoc(config.__dict__.get("__doc__") or "")


def _as_text(text: str) -> str:
    """Return a docstring as Markdown: code of double back quotes in single ones, everything else as it is."""
    return re.sub(r"``([^`]*)``", r"`\1`", text)
