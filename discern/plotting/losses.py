"""Loss curves of a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from discern.errors import DataError, ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.plotting.showing import axes_for, shown_or_returned

History: TypeAlias = pd.DataFrame | Mapping[str, Sequence[float]] | Sequence[Mapping[str, Any]]
_VALIDATION = "val_"
_TOTAL = "loss"
_WIDE = 2.0


def losses(
    history: Path | str | ExperimentFolder | History, *, term: str = _TOTAL, ax: Any = None, show: bool | None = None
) -> Any:
    """Draw a loss over the epochs, in training and in validation, and mark the best epoch of validation.

    Args:
        history: Folder of an experiment, or its history: a table, or one mapping per epoch.
        term: Column of the history: ``loss`` for all terms together, or one of them.
        ax: Matplotlib axes to draw on; new ones when None.
        show: Show the picture and return nothing; as scanpy is set up when None.

    Returns:
        The axes, unless they were shown.

    Raises:
        ExperimentError: The folder has no history of a training.
        DataError: There is no such column.
    """
    table = loss_table(history)
    if term not in table:
        raise DataError(f"The history has no column '{term}'. Found: {', '.join(loss_terms(table))}.")
    axes = axes_for(ax)[0, 0]
    draw_losses(axes, table, term)
    return shown_or_returned(axes, show, ax is not None)


def loss_table(history: Path | str | ExperimentFolder | History) -> pd.DataFrame:
    """Return one row per epoch, all columns numbers; the column ``epoch`` counts from 1.

    Raises:
        ExperimentError: The folder has no history, or what was given is none.
    """
    source = "The history"
    if isinstance(history, Path | str | ExperimentFolder):
        folder = history if isinstance(history, ExperimentFolder) else ExperimentFolder(Path(history))
        source = str(folder.history)
        if not folder.history.is_file():
            raise ExperimentError(f"{source} does not exist. Run `discern train` first.")
        table = _read(folder.history)
    else:
        table = pd.DataFrame(history if isinstance(history, pd.DataFrame | Mapping) else list(history))
    try:
        table = table.astype("float64")
    except (TypeError, ValueError) as error:
        raise ExperimentError(f"{source} is no history of a training: {error}.") from error
    if not len(table) or _TOTAL not in table:
        raise ExperimentError(f"{source} is no history of a training: it has no epoch, or no column 'loss'.")
    return table if "epoch" in table else table.assign(epoch=np.arange(1.0, len(table) + 1))


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except ValueError as error:  # all of pandas' own are
        raise ExperimentError(f"{path} is no history of a training: {error}.") from error


def loss_terms(table: pd.DataFrame) -> list[str]:
    """Return the losses of a history, all together first; those of validation are not named."""
    terms = [name for name in map(str, table.columns) if name.endswith(_TOTAL) and not name.startswith(_VALIDATION)]
    return sorted(terms, key=lambda name: (name != _TOTAL, name))


def draw_losses(axes: Any, table: pd.DataFrame, term: str = _TOTAL) -> None:
    """Draw one loss on Matplotlib axes; the axis is logarithmic where values are positive and far apart.

    Args:
        axes: Matplotlib axes.
        table: From :func:`loss_table`.
        term: Which loss.
    """
    marker = "o" if len(table) < 30 else ""
    axes.plot(table["epoch"], table[term], marker=marker, ms=3, color="#0072B2", label="training")
    drawn = [table[term]]
    if _VALIDATION + term in table:
        validation = table[_VALIDATION + term]
        drawn.append(validation)
        axes.plot(table["epoch"], validation, marker=marker, ms=3, color="#D55E00", label="validation")
        if validation.notna().any():
            best = int(np.nanargmin(validation.to_numpy()))
            axes.plot(table["epoch"].iloc[best], validation.iloc[best], "*", ms=12, color="#D55E00", label="lowest")
    values = np.concatenate(drawn)
    known = values[np.isfinite(values)]
    if len(known) and known.min() > 0 and known.max() > _WIDE * known.min():
        axes.set_yscale("log")
    axes.set(xlabel="epoch", ylabel=term.replace("_", " "))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
