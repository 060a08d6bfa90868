"""UMAP pictures of cells, coloured by their annotation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from discern.io.whole_files import replacing_file

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")  # Okabe and Ito
_HIGHEST_POINTS = 6000.0
_LONGEST_LABEL = 28
_FEWEST_CELLS = 4
_NO_LABEL = "no value"
_LABELS_IN_COLUMN = 20
_MOST_LABELS = 60
_COLUMN_INCHES = 1.6


def umap_coordinates(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return UMAP coordinates, (n_cells, 2), of features, (n_cells, n_features); the same for the same seed.

    Too few cells for a graph of neighbours are placed by their first two features.
    """
    if features.shape[0] < _FEWEST_CELLS:
        return np.pad(features, ((0, 0), (0, 1)))[:, :2]
    import umap

    neighbours = min(15, features.shape[0] - 1)
    return umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(features)


def draw_umap(path: Path, panels: Sequence[tuple[str, np.ndarray, pd.Series]], columns: int = 2) -> None:
    """Draw one scatter plot per panel and write them as one PNG.

    Args:
        path: The picture.
        panels: Title, coordinates (n_cells, 2) and the annotation that gives the colours.
        columns: Panels in one row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    most_labels = max(min(labels.nunique(), _MOST_LABELS) for _, _, labels in panels)
    width = 6.4 + _COLUMN_INCHES * (most_labels // _LABELS_IN_COLUMN)
    figure = Figure(figsize=(width * columns, 4.6 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (title, coordinates, labels) in zip(axes, panels, strict=False):
        _scatter(axis, coordinates, labels)
        axis.set_title(title)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _scatter(axis: Any, coordinates: np.ndarray, labels: pd.Series) -> None:
    n_labels = draw_cells(axis, coordinates, labels, _MOST_LABELS)
    in_columns = -(-n_labels // (_LABELS_IN_COLUMN + 1))
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, ncols=in_columns)
    axis.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axis.spines[["top", "right"]].set_visible(False)


def draw_cells(axes: Any, coordinates: np.ndarray, labels: pd.Series, most_labels: int) -> int:
    """Draw cells as points, coloured by their labels, and prepare a legend; return how many entries it has.

    Args:
        axes: Matplotlib axes.
        coordinates: (n_cells, 2).
        labels: One per cell, (n_cells,); the order of categories is that of the legend.
        most_labels: Entries of the legend at most; one more says how many labels are left out.
    """
    import matplotlib

    known = labels.astype("category")
    names = [str(name) for name in known.cat.categories]
    palette = COLOURS if len(names) <= len(COLOURS) else matplotlib.colormaps["tab20"](np.arange(20))
    colours = np.array(
        [matplotlib.colors.to_rgba(palette[code % len(palette)]) for code in range(len(names))]
        + [matplotlib.colors.to_rgba("lightgrey")]
    )
    order = np.random.default_rng(0).permutation(len(known))  # no group hides another
    size = max(2.0, min(20.0, _HIGHEST_POINTS / max(1, len(known))))
    codes = known.cat.codes.to_numpy()[order]  # −1, no label, takes the last colour
    axes.scatter(*coordinates[order].T, c=colours[codes], s=size, linewidths=0, rasterized=True)
    if known.isna().any():
        names.append(_NO_LABEL)
    for code, name in enumerate(names[:most_labels]):
        axes.scatter([], [], color=colours[-1 if name == _NO_LABEL else code], s=30, label=plain_label(name))
    if len(names) > most_labels:
        axes.scatter([], [], alpha=0, label=f"and {len(names) - most_labels} more")
    return min(len(names), most_labels + 1)


def plain_label(name: str) -> str:
    """Return a label of bounded length that Matplotlib neither hides nor reads as a formula."""
    text = "".join(one for one in name if one.isprintable())
    text = text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
