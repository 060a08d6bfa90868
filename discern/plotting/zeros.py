"""Calibration of zeros: estimated probabilities that a gene is seen against how often it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.measured_genes import GenePanels
from discern.keys import BATCH, COUNTS, ESTIMATED_DROPOUTS, MEASURED, RUN_SUMMARY
from discern.plotting.showing import axes_for, shown_or_returned
from discern.plotting.zero_calibration import ZeroCalibration, calibration_error, read_calibration

ZEROS_FILE = "zeros.csv"
_ROWS = 1024


def zeros(data: AnnData | Path | str | ExperimentFolder, *, ax: Any = None, show: bool | None = None) -> Any:
    """Draw the observed share of counts above zero over the estimated P(count > 0); a perfect model is on the diagonal.

    Args:
        data: Projected cells, of which those are taken that were decoded into their own batch; or the folder of an
            experiment that was evaluated.
        ax: Matplotlib axes to draw on; new ones when None.
        show: Show the picture and return nothing; as scanpy is set up when None.

    Returns:
        The axes, unless they were shown.

    Raises:
        ExperimentError: The experiment was not evaluated.
        DataError: The cells lack what is compared, or none was decoded into its own batch.
    """
    if isinstance(data, AnnData):
        table = calibration_of(data)
    else:
        folder = data if isinstance(data, ExperimentFolder) else ExperimentFolder(Path(data))
        table = read_calibration(folder.evaluation / ZEROS_FILE)
    axes = axes_for(ax)[0, 0]
    draw_zeros(axes, table)
    return shown_or_returned(axes, show, ax is not None)


def calibration_of(projected: AnnData) -> pd.DataFrame:
    """Return the calibration of projected cells; see :meth:`ZeroCalibration.table`.

    Genes that a cell's data set did not measure are left out.

    Args:
        projected: Cells of a projected file, with the layer ``estimated_dropouts`` and, as ``raw``, the input.

    Raises:
        DataError: Something of this is missing, no cell was decoded into its own batch, or no gene was measured in one.
    """
    if ESTIMATED_DROPOUTS not in projected.layers:
        raise DataError(
            f"The cells have no layer '{ESTIMATED_DROPOUTS}'. Project them with this layer, and with a model that has it."
        )
    cells = np.flatnonzero(_in_own_batch(projected))
    if not len(cells):
        raise DataError(
            "No cell was decoded into its own batch, so there is nothing to compare its zeros with. Project without "
            "--metadata, or to a batch that some of the cells are from."
        )
    observed = _observed(projected)
    panels = GenePanels.of(projected.obs, projected.varm.get(MEASURED), projected.var_names)
    calibration = ZeroCalibration()
    for start in range(0, len(cells), _ROWS):
        rows = cells[start : start + _ROWS]
        seen = observed[rows]
        dense = seen.toarray() if sparse.issparse(seen) else np.asarray(seen)
        known = np.ones(dense.shape, dtype=bool) if panels is None else panels.measured(rows)
        probability = np.asarray(projected.layers[ESTIMATED_DROPOUTS][rows], dtype=np.float64)
        calibration.add(probability[known], dense[known] > 0)
    if not calibration.n.any():
        raise DataError(
            "No gene of these cells was measured where they were decoded into their own batch, so there is nothing to "
            "compare their zeros with. Project to another batch, or with other --genes."
        )
    return calibration.table()


def _in_own_batch(projected: AnnData) -> np.ndarray:
    """Return which cells were decoded into the batch they are from, bool (n_cells,)."""
    summary = projected.uns.get(RUN_SUMMARY)
    if summary is None or "target_column" not in summary:
        raise DataError(
            f"uns['{RUN_SUMMARY}'] does not tell into which batch the cells were decoded. Project them again."
        )
    if not summary["target_column"]:
        return np.ones(projected.n_obs, dtype=bool)
    if summary["target_column"] != BATCH:
        return np.zeros(projected.n_obs, dtype=bool)
    return (projected.obs[BATCH].astype(str) == str(summary["target_value"])).to_numpy()


def _observed(projected: AnnData) -> Any:
    """Return a matrix that is above zero where there was a count, (n_cells, n_genes)."""
    if projected.raw is not None:
        return projected.raw[:, projected.var_names].X
    if COUNTS in projected.layers:
        return projected.layers[COUNTS]
    raise DataError(f"The cells have neither raw nor the layer '{COUNTS}'. Project them without --no-raw.")


def draw_zeros(axes: Any, table: pd.DataFrame) -> None:
    """Draw a calibration on Matplotlib axes; the size of a point tells its number of entries.

    Args:
        axes: Matplotlib axes.
        table: From :meth:`ZeroCalibration.table`.
    """
    axes.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="perfect")
    size = 15 + 150 * np.sqrt(table["n"] / table["n"].max())
    axes.plot(table["probability"], table["observed"], color="#0072B2", lw=1)
    axes.scatter(table["probability"], table["observed"], s=size, color="#0072B2", alpha=0.8, label="genes in cells")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="estimated P(count > 0)", ylabel="observed share")
    axes.set_title(f"mean distance {calibration_error(table):.3f}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
