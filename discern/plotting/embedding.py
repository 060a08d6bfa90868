"""Cells before and after reconstruction, and their latent codes, side by side as UMAPs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError, counted, names_in_short
from discern.keys import BATCH, CELLTYPE, ESTIMATED_COUNTS, LATENT
from discern.plotting.showing import axes_for, shown_or_returned
from discern.umap_pictures import draw_cells, umap_coordinates

_MOST_LABELS = 20
_N_COMPONENTS = 32


def umap(
    before: AnnData | None,
    after: AnnData,
    color: str | Sequence[str] | None = None,
    *,
    max_cells: int = 5000,
    seed: int = 0,
    ax: Any = None,
    show: bool | None = None,
) -> Any:
    """Draw cells as measured, their latent codes, and cells as reconstructed, one row for each, as UMAPs.

    Rows that the data have nothing for are left out. Expression is reduced to 32 principal components first.

    Args:
        before: Log expression as measured, X (n_cells, n_genes); None: ``raw`` of ``after``.
        after: Projected cells: expression in the layer ``estimated_counts`` or X, codes in ``obsm["X_DISCERN"]``.
        color: Columns of obs, one picture each; ``batch`` and ``celltype``, where there are such, when None.
        max_cells: Cells to draw at most, chosen at random.
        seed: Chooses the cells and drives UMAP.
        ax: As many Matplotlib axes as there are pictures; new ones when None.
        show: Show the picture and return nothing; as scanpy is set up when None.

    Returns:
        The axes, an array (n_rows, n_columns), unless they were shown.

    Raises:
        DataError: A column of obs is missing, ``before`` has none of the cells, or names that cells are matched by are
            given twice.
    """
    columns = _columns(after.obs, color)
    chosen = np.arange(after.n_obs)
    if after.n_obs > max_cells:
        chosen = np.sort(np.random.default_rng(seed).choice(after.n_obs, max_cells, replace=False))
    features = _features(before, after, chosen)
    axes = axes_for(ax, len(columns), len(features))
    for row, (title, obs, points) in zip(axes, features, strict=True):
        coordinates = umap_coordinates(points, seed)
        for one, column in zip(row, columns, strict=True):
            draw_embedding(one, coordinates, obs[column])
            one.set_title(f"{title}, by {column}")
    return shown_or_returned(axes, show, ax is not None)


def _columns(obs: pd.DataFrame, color: str | Sequence[str] | None) -> list[str]:
    if color is None:
        color = [column for column in (BATCH, CELLTYPE) if column in obs]
    columns = [color] if isinstance(color, str) else list(color)
    missing = [column for column in columns if column not in obs]
    if missing or not columns:
        named = f"Column '{missing[0]}' is missing from obs" if missing else "There is no column to colour cells by"
        raise DataError(f"{named}. Found: {', '.join(map(str, obs.columns))}. Name one of these with color.")
    return columns


def _features(before: AnnData | None, after: AnnData, chosen: np.ndarray) -> list[tuple[str, pd.DataFrame, np.ndarray]]:
    """Return title, annotation and features, (n_cells, n_features), of every row of pictures."""
    obs = after.obs.iloc[chosen]
    found = []
    if before is not None:
        _require_names_once(before, "before")
        _require_names_once(after, "after")
        names = obs.index.intersection(before.obs_names)
        if not len(names):
            raise DataError("No cell of `after` is in `before`. Give the same cells, with the same names.")
        measured = _rows(before.X, before.obs_names.get_indexer(names))
        found.append(("as measured", obs.loc[names], components(measured)))
    elif after.raw is not None:
        found.append(("as measured", obs, components(after.raw.X[chosen])))
    if LATENT in after.obsm:
        found.append(("latent codes", obs, np.asarray(after.obsm[LATENT])[chosen]))
    estimates = after.layers.get(ESTIMATED_COUNTS, after.X)
    if estimates is not None:
        found.append(("reconstructed", obs, components(estimates[chosen])))
    return found


def _require_names_once(adata: AnnData, which: str) -> None:
    twice = adata.obs_names[adata.obs_names.duplicated()].unique()
    if len(twice):
        raise DataError(
            f"Cells are matched by name, and {counted(len(twice), 'name')} of `{which}` stand more than once, e.g. "
            f"{names_in_short(list(map(str, twice)), 3)}. Give every cell a name of its own in `before` and `after`, e.g. with "
            "obs_names_make_unique() where both have the same cells in the same order."
        )


def _rows(matrix: Any, cells: np.ndarray) -> Any:
    """Return rows in any order, (n_cells, n_genes); of a matrix in a file they are read in ascending order."""
    order = np.argsort(cells)
    return matrix[cells[order]][np.argsort(order)]


def components(expression: Any) -> np.ndarray:
    """Return the coordinates of cells in their leading principal components, float32 (n_cells, 32 or fewer).

    Args:
        expression: Log expression, sparse or dense (n_cells, n_genes).
    """
    from sklearn.decomposition import PCA

    dense = expression.toarray() if sparse.issparse(expression) else np.asarray(expression)
    n_components = min(_N_COMPONENTS, *dense.shape)
    return PCA(n_components, svd_solver="randomized", random_state=0).fit_transform(
        dense.astype(np.float32, copy=False)
    )


def draw_embedding(axes: Any, coordinates: np.ndarray, labels: pd.Series) -> None:
    """Draw cells as points, coloured by their labels, with a legend below.

    Args:
        axes: Matplotlib axes.
        coordinates: (n_cells, 2).
        labels: One per cell, (n_cells,); the order of categories is that of the legend.
    """
    n_labels = draw_cells(axes, coordinates, labels, _MOST_LABELS)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), frameon=False, fontsize=9, ncols=min(3, n_labels or 1))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("0.8")
