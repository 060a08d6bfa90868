"""Directives for Sphinx' autodoc for the public names of modules, each object once."""

from importlib import import_module
from inspect import isclass, isfunction
from types import ModuleType

_FACES = (
    "discern.estimators",
    "discern.estimators.batch_integration",
    "discern.estimators.callbacks",
    "discern.estimators.customlayers",
    "discern.estimators.losses",
    "discern.estimators.run_exp",
    "discern.estimators.utilities_wae",
    "discern.io",
    "discern.preprocessing",
    "discern.online_learning",
    "discern.functions",
    "discern.mmd",
)
_CONTRACT = (
    "DataDescription",
    "ModelFamily",
    "Encodes",
    "Decodes",
    "Reconstructs",
    "Latent",
    "Decoded",
)


def interface() -> str:
    """Return the names a notebook uses: those of ``discern``, ``discern.pl`` and ``discern.errors``."""
    shown = [(name, _public_names(import_module(name))) for name in ("discern", "discern.pl")]
    errors = [name for name, one in vars(import_module("discern.errors")).items() if _is_error(one)]
    return "\n".join(_module(name, public) for name, public in [*shown, ("discern.errors", errors)])


def published_modules() -> str:
    """Return the names of the published modules; what ``discern`` itself offers is named only."""
    import discern

    documented = {id(getattr(discern, name)): f"discern.{name}" for name in ("DISCERN", "WAERecipe")}
    parts = []
    for name in _FACES:
        module = import_module(name)
        own: list[str] = []
        elsewhere: list[tuple[str, str]] = []
        for public in _public_names(module):
            first = documented.setdefault(id(getattr(module, public)), f"{name}.{public}")
            if first == f"{name}.{public}":
                own.append(public)
            else:
                elsewhere.append((public, first))
        parts.append(_module(name, own))
        parts += [f"`{public}` is {{py:obj}}`{first}`.\n" for public, first in elsewhere]
    return "\n".join(parts)


def model_contract() -> str:
    """Return what a model family implements."""
    return "\n".join(_directive("discern.models.contract", name) for name in _CONTRACT)


def _public_names(module: ModuleType) -> list[str]:
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    ]
    return [name for name in names if not name.startswith("_") and _is_documented(getattr(module, name))]


def _is_error(value: object) -> bool:
    return isclass(value) and issubclass(value, Exception)


def _is_documented(value: object) -> bool:
    return isclass(value) or isfunction(value)


def _module(name: str, public: list[str]) -> str:
    summary = (import_module(name).__doc__ or "").split("\n\n")[0].replace("``", "`")
    return "\n".join([f"## `{name}`\n", f"{_without_roles(summary)}\n", *(_directive(name, one) for one in public)])


def _directive(module: str, name: str) -> str:
    kind = "autoclass" if isclass(getattr(import_module(module), name)) else "autofunction"
    return f"```{{eval-rst}}\n.. {kind}:: {module}.{name}\n```\n"


def _without_roles(text: str) -> str:
    return text.replace(":mod:", "").replace("\n", " ")
