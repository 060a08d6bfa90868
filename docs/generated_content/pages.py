"""Filling pages: a line ``<!-- generated: NAME -->`` gives way to what NAME stands for."""

import re
from collections.abc import Callable, Mapping

from generated_content.commands import command_reference
from generated_content.json_keys import parameters_reference, search_reference
from generated_content.names import TABLES
from generated_content.python_names import interface, model_contract, published_modules

CONTENT: Mapping[str, Callable[[], str]] = {
    "commands": command_reference,
    "parameters": parameters_reference,
    "search": search_reference,
    "interface": interface,
    "published-modules": published_modules,
    "model-contract": model_contract,
    **TABLES,
}
_MARKER = re.compile(r"^<!-- generated: (\S+) -->$", re.MULTILINE)


def filled(page: str) -> str:
    """Return a page with all markers replaced.

    Raises:
        KeyError: A marker names nothing that is generated.
    """
    return _MARKER.sub(lambda marker: CONTENT[marker.group(1)](), page)
