"""Names that a package hands on from elsewhere, imported on first use (PEP 562)."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, table: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its name, for messages.
        table: Public name → module that defines it, or that it is itself; closed.
    """

    def get(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(table[name])
        return module if table[name] == f"{package}.{name}" else getattr(module, name)

    return get, lambda: sorted(table)
