"""What a trial reports, by name, and which direction is better.

Every number is reported after each step of a trial. What judges a model judges the one that the trial keeps and that is
projected: the best so far by the monitored loss. A name of the search file is looked up here.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

from discern.errors import ParametersError

Mode = Literal["min", "max"]


@dataclass(frozen=True)
class Metric:
    """One reported number.

    Attributes:
        meaning: What it is.
        mode: Which direction is better; None for what a search cannot aim at.
        is_switch: It is true or false.
    """

    meaning: str
    mode: Mode | None = "min"
    is_switch: bool = False


METRICS: Mapping[str, Metric] = {
    "loss": Metric("smallest monitored loss of the validation cells so far"),
    "mmd": Metric("MMD between cells projected to a batch and cells of that batch"),
    "auc": Metric("how well a random forest tells projected cells from cells of the batch; 0.5 is best, 1 worst"),
    "mmd_autoencoded": Metric("MMD between cells decoded into their own batch and themselves"),
    "auc_autoencoded": Metric("how well a random forest tells cells decoded into their own batch from themselves"),
    "seconds": Metric("training time of the trial"),
    "epochs": Metric("trained epochs", mode=None),
    "best_epoch": Metric("epoch of the model that is kept, which the other numbers judge", mode=None),
    "training_iteration": Metric("steps of epochs_per_timestep epochs", mode=None),
    "time_total_s": Metric("time of the trial, with all measurements", mode=None),
    "early_stopped": Metric("early stopping has ended training", mode=None, is_switch=True),
    "reached_max_step": Metric("training.max_steps epochs are trained", mode=None, is_switch=True),
    "diverged": Metric("training has met a value that is not finite", mode=None, is_switch=True),
}
TERM = Metric("a term of the loss, unweighted; with 'val_' that of the validation cells")
_TERM_ENDING = "_loss"
_KNOWN = f"{', '.join(METRICS)}, and terms of the loss such as val_decoder_counts_loss"


def is_term(name: str) -> bool:
    """Tell whether a name is that of a term of the loss: ``<term>_loss`` or ``val_<term>_loss``."""
    return name.endswith(_TERM_ENDING) and name.isidentifier() and bool(name.removesuffix(_TERM_ENDING).strip("_"))


def metric(name: str) -> Metric:
    """Return a metric by name.

    Raises:
        ValueError: No trial reports it.
    """
    if name in METRICS:
        return METRICS[name]
    if is_term(name) and name != "val_loss":
        return TERM
    close = ["loss"] if name == "val_loss" else difflib.get_close_matches(name, METRICS, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise ValueError(f"no trial reports '{name}'.{hint} Reported: {_KNOWN}")


def direction(name: str) -> Mode:
    """Return which direction of a metric is better.

    Raises:
        ValueError: No trial reports it, or neither direction is better.
    """
    mode = metric(name).mode
    if mode is None:
        aims = ", ".join(known for known, one in METRICS.items() if one.mode)
        raise ValueError(f"a search cannot aim at '{name}'. It can at: {aims}, and terms of the loss")
    return mode


def require_direction(name: str, mode: Mode | None) -> None:
    """Refuse a mode that calls the worse direction of a metric the better one; null is neither.

    Raises:
        ValueError: The mode contradicts the metric, or no search can aim at the metric.
    """
    better = direction(name)
    if mode is not None and mode != better:
        raise ValueError(f"mode is '{mode}', but of '{name}' the {better}imum is best; leave mode out, or correct it")


def check_reported(names: Iterable[str], reported: Iterable[str], source: str = "hyperparameter_search.json") -> None:
    """Refuse metrics that trials turn out not to report, such as terms of another loss.

    Raises:
        ParametersError: A name is missing among the reported ones, which the message lists.
    """
    known = sorted(reported)
    missing = sorted(set(names) - set(known))
    if missing:
        raise ParametersError(f"{source}: no trial reports {', '.join(missing)}. Reported: {', '.join(known)}.")


def _aim(name: str) -> str:
    direction(name)
    return name


def _reported(name: str) -> str:
    metric(name)
    return name


Aim = Annotated[str, AfterValidator(_aim)]
Reported = Annotated[str, AfterValidator(_reported)]
