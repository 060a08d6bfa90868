"""The parent of every configuration class, and how its faults are told.

Faults are collected by pydantic; :func:`parameters_error` turns all of them into one message with a JSON path,
the value received and, for unknown keys, the nearest known one.
"""

import difflib
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from discern.errors import MissingParameterError, ParametersError, counted

Section = TypeVar("Section", bound=BaseModel)
_LONGEST_NAME, _LONGEST_PATH = 255, 3000  # bytes; file systems and the kernel take little more
_EXPECTED = {
    "model_type": "give an object {...}",
    "dict_type": "give an object {...}",
    "list_type": "give a list [...]",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
}  # in the words of JSON instead of Python


class ConfigSection(BaseModel):
    """One object of a configuration file. Unknown keys and values of another type are errors; instances stay as they are."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


def possible_path(text: str) -> str:
    """Return a path as it is, whether anything is there or not.

    Raises:
        ValueError: No file can have this name.
    """
    try:
        names = [len(name.encode()) for name in text.split("/")]
    except UnicodeEncodeError as error:
        raise ValueError("is no path: it holds half a character") from error
    if "\0" in text:
        raise ValueError("is no path: it holds a NUL character")
    if max(names) > _LONGEST_NAME or sum(names) + len(names) > _LONGEST_PATH:
        raise ValueError(f"is no path: names have up to {_LONGEST_NAME} bytes, paths up to {_LONGEST_PATH:,}")
    return text


PathName = Annotated[str, AfterValidator(possible_path)]


def validate_section(
    section: type[Section], values: Mapping[str, Any], prefix: str = "", source: str = "parameters"
) -> Section:
    """Return the validated section.

    Args:
        section: Class of the section.
        values: What was given; left as it is.
        prefix: JSON path of the section, for messages.
        source: Name of the file, for messages.

    Raises:
        ParametersError: The values are invalid; the message lists all faults.
    """
    try:
        return section.model_validate(dict(values))
    except ValidationError as error:
        raise parameters_error(error, section, prefix, source) from error
    except UnicodeEncodeError as error:
        raise ParametersError(f"{source}: {str(error.object)!r:.200} holds half a character. Write it anew.") from error


def parameters_error(
    error: ValidationError, section: type[BaseModel], prefix: str = "", source: str = "parameters"
) -> ParametersError:
    """Return one error that lists every fault of ``error``.

    Args:
        error: What pydantic raised when validating ``section``.
        section: The validated class, for suggesting known keys.
        prefix: JSON path in front of every location.
        source: Name of the file, for the first line.
    """
    lines = [_fault(fault, section, prefix) for fault in error.errors(include_url=False)]
    entries = counted(len(lines), "invalid entry", "invalid entries")
    only_missing = all(fault["type"] == "missing" for fault in error.errors(include_url=False))
    kind = MissingParameterError if only_missing else ParametersError
    return kind("\n  ".join([f"{source} has {entries}:", *lines]))


def also_found(detail: ErrorDetails) -> InitErrorDetails:
    """Return a fault in the form that raises it again, together with others."""
    message = PydanticCustomError(detail["type"], "{fault}", {"fault": detail["msg"]})
    return InitErrorDetails(type=message, loc=detail["loc"], input=detail["input"])


def _fault(fault: Any, section: type[BaseModel], prefix: str) -> str:
    location = _json_path(fault["loc"])
    path = ".".join(filter(None, [prefix, *map(str, location)])) or "(top level)"
    if fault["type"] == "extra_forbidden":
        known = _known_keys(section, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(known)}."
        return f"{path}: unknown key. {hint}"
    if fault["type"] == "missing":
        return f"{path}: required, but absent"
    message = _EXPECTED.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    if isinstance(fault["input"], dict):
        return f"{path}: {message}"
    return f"{path}: {message} (received {fault['input']!r})"


def _json_path(location: Sequence[Any]) -> list[Any]:
    """Return the location without what pydantic adds to it: the type tried of a union, or that a key is meant."""
    first, *rest = location or ("",)
    names = 1 if first == "experiments" else 0  # an experiment may be called "float" or "run[1]"
    return [*location[: 1 + names], *(part for part in rest[names:] if not _is_added(part))]


def _is_added(part: Any) -> bool:
    return isinstance(part, str) and ("[" in part or part in {"str", "int", "float", "bool", "NoneType"})


def _known_keys(section: type[BaseModel], location: list[Any]) -> list[str]:
    current: list[type[BaseModel]] = [section]
    for part in location:
        annotations = [one.model_fields[part].annotation for one in current if part in one.model_fields]
        inner = [found for annotation in annotations for found in _sections_in(annotation)]
        current = inner or current  # a key of a dict of sections keeps the sections found before
    return [name for one in current for name in one.model_fields]


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in typing.get_args(annotation) for found in _sections_in(argument)]
