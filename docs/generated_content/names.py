"""Tables of what a file may name and of what the program reports, read from its closed tables."""

import inspect
from collections.abc import Callable, Iterable, Sequence

from discern import errors
from discern.errors import DiscernError
from discern.evaluation.measures import MEASURES
from discern.models.wae.config import WAEConfig
from discern.registry import (
    ACTIVATIONS,
    DISTRIBUTIONS,
    LEARNING_RATE_SCHEDULES,
    NORMALISATIONS,
    OPTIMIZERS,
    OUTPUT_FUNCTIONS,
    RECONSTRUCTION_LOSSES,
    REGULARIZERS,
    Registry,
)
from discern.tuning.metrics import METRICS, TERM

_MODEL_NAMES = {
    "Activations": ACTIVATIONS,
    "Output functions": OUTPUT_FUNCTIONS,
    "Normalisations": NORMALISATIONS,
    "Reconstruction losses": RECONSTRUCTION_LOSSES,
    "Regularizers": REGULARIZERS,
    "Optimizers": OPTIMIZERS,
    "Learning rate schedules": LEARNING_RATE_SCHEDULES,
}
_WEIGHTS = {
    r"$w_\text{rec}$": "reconstruction_weight",
    r"$w_\text{drop}$": "weighting_decoder_dropout",
    r"$w_\sigma$": "weighting_random_encoder",
    r"$\lambda$": "wae_lambda",
}


def loss_weights() -> str:
    """Return the weights of DISCERN's loss with their defaults."""
    config = WAEConfig()
    rows = [(symbol, f"`{key}`", f"{getattr(config, key):,.6g}") for symbol, key in _WEIGHTS.items()]
    return _table(("weight", "key", "default"), rows)


def names_of_parameters() -> str:
    """Return every name that parameters.json may hold, with the arguments it takes."""
    return "\n".join(f"### {title}\n\n{_names(table)}" for title, table in _MODEL_NAMES.items())


def _names(table: Registry) -> str:
    if not any(entry.arguments for entry in table.entries.values()):
        return f"{_code(table.entries)}\n"
    rows = [
        (f"`{name}`", _code(one + " (required)" * (one in entry.required) for one in entry.arguments) or "none")
        for name, entry in table.entries.items()
    ]
    return _table(("name", "arguments"), rows)


def distributions() -> str:
    """Return the types of hyperparameters."""
    functions = {name: entry.load() for name, entry in DISTRIBUTIONS.entries.items()}
    rows = [
        (f"`{name}`", _arguments(one), _first_line(one.__doc__ or "", "Return ")) for name, one in functions.items()
    ]
    return _table(("type", "args", "values"), rows)


def _arguments(function: Callable[..., object]) -> str:
    return f"`[{', '.join(inspect.signature(function).parameters)}]`"


def reported_numbers() -> str:
    """Return what trials of a search report."""
    rows = [(f"`{name}`", metric.meaning, _better(metric.mode)) for name, metric in METRICS.items()]
    rows.append(("`<term>_loss`, `val_<term>_loss`", TERM.meaning, _better(TERM.mode)))
    return _table(("name", "is", "better"), rows)


def _better(mode: str | None) -> str:
    return {"min": "smaller", "max": "larger"}.get(mode or "", "")


def measures() -> str:
    """Return the measures of an evaluation, group by group."""
    groups = dict.fromkeys(measure.group for measure in MEASURES.values())
    return "\n".join(f"### {group[0].upper()}{group[1:]}\n\n{_measures_of(group)}" for group in groups)


def _measures_of(group: str) -> str:
    rows = [
        (f"`{one.name}`", f"near {one.ideal:g}" if one.better == "near" else one.better, one.meaning)
        for one in MEASURES.values()
        if one.group == group
    ]
    return _table(("measure", "better", "what it says"), rows)


def exit_codes() -> str:
    """Return the exit code of every error."""
    found = sorted(_subclasses(DiscernError), key=lambda error: error.exit_code)
    rows = [(str(one.exit_code), f"`{one.__name__}`", _first_line(one.__doc__ or "")) for one in found]
    return _table(("exit code", "error", "means"), rows)


def _subclasses(error: type[DiscernError]) -> list[type[DiscernError]]:
    defined = (one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, error))
    return list(defined)


def _first_line(docstring: str, without: str = "") -> str:
    return docstring.split("\n\n")[0].strip().removeprefix(without).replace("\n", " ")


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "loss-weights": loss_weights,
    "names": names_of_parameters,
    "distributions": distributions,
    "reported-numbers": reported_numbers,
    "measures": measures,
    "exit-codes": exit_codes,
}
