"""Sections of a search file whose ``name`` chooses a class from a closed table."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn, Union

from pydantic import GetJsonSchemaHandler, ValidationError, WrapValidator
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError

from discern.config_section import ConfigSection, also_found
from discern.errors import UnknownNameError
from discern.registry import Registry


def named_section(table: Registry) -> Any:
    """Return the type of a section that its ``name`` chooses from a table; a name alone will do.

    Args:
        table: Configuration classes by name.
    """

    def validate(section: Any, _of_the_union: Any) -> Any:
        given = {"name": section} if isinstance(section, str) else section
        if not isinstance(given, Mapping):
            return _refuse((), f"give the name of a {table.kind}, or an object with its 'name'", section)
        name = given.get("name")
        if name is None:
            return _refuse(("name",), f"a {table.kind} needs a 'name'. Known: {', '.join(table.entries)}", {})
        try:
            canonical = table.canonical(str(name))
        except UnknownNameError as error:
            return _refuse(("name",), str(error), name)
        chosen = table.get(canonical)
        try:
            return chosen.model_validate({**given, "name": canonical})
        except ValidationError as error:
            faults = [_of_section(detail, chosen) for detail in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(canonical, faults) from error

    sections = tuple(table.get(name) for name in table.entries)
    return Annotated[Union[sections], WrapValidator(validate), _NameAlone()]  # noqa: UP007 - built at run time


class _NameAlone:
    """Tells the JSON schema that a name will do in place of a section."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        sections = handler(core)
        return {"anyOf": [{"type": "string"}, *sections["anyOf"]]}


def fault_at(path: tuple[str, ...], message: str, received: Any) -> InitErrorDetails:
    """Return a fault in the form that pydantic collects.

    Args:
        path: Keys that lead to it.
        message: What is wrong.
        received: What was found there; an object when the message tells it.
    """
    told = PydanticCustomError("search", "{fault}", {"fault": message})
    return InitErrorDetails(type=told, loc=path, input=received)


def _refuse(path: tuple[str, ...], message: str, received: Any) -> NoReturn:
    raise ValidationError.from_exception_data("section", [fault_at(path, message, received)])


def _of_section(detail: ErrorDetails, section: type[ConfigSection]) -> InitErrorDetails:
    """Return a fault of the chosen class; unknown keys are compared with its own keys only."""
    if detail["type"] != "extra_forbidden":
        return also_found(detail)
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
    hint = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(known)}."
    return fault_at(tuple(map(str, detail["loc"])), f"unknown key. {hint}", {})
