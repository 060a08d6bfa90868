"""UMAP pictures of cells, coloured by their annotation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from discern.io.whole_files import replacing_file

_MOST_COLOURS = 20
_HIGHEST_POINTS = 4000.0
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
        _scatter(axis, coordinates, labels.astype("category"))
        axis.set_title(title)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _scatter(axis: Any, coordinates: np.ndarray, labels: pd.Series) -> None:
    import matplotlib

    names = [str(name) for name in labels.cat.categories]
    palette = matplotlib.colormaps["tab10" if len(names) <= 10 else "tab20"]
    colours = [*palette(np.arange(len(names)) % _MOST_COLOURS), matplotlib.colors.to_rgba("lightgrey")]
    if labels.isna().any():
        names.append(_NO_LABEL)  # their code -1 takes the last colour
    order = np.random.default_rng(0).permutation(len(labels))  # no group hides another
    size = max(1.0, min(14.0, _HIGHEST_POINTS / len(labels)))
    codes = labels.cat.codes.to_numpy()[order]
    axis.scatter(*coordinates[order].T, c=np.array(colours)[codes], s=size, linewidths=0, rasterized=True)
    for name, colour in list(zip(names, colours, strict=False))[:_MOST_LABELS]:
        axis.scatter([], [], color=colour, s=30, label=name)
    if len(names) > _MOST_LABELS:
        axis.scatter([], [], alpha=0, label=f"and {len(names) - _MOST_LABELS} more")
    in_columns = -(-min(len(names), _MOST_LABELS + 1) // (_LABELS_IN_COLUMN + 1))
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, ncols=in_columns)
    axis.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axis.spines[["top", "right"]].set_visible(False)
