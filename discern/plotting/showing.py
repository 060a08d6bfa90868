"""Axes that a picture is drawn on, and whether it is shown, as scanpy does it."""

import sys
from typing import Any


def axes_for(ax: Any, n_columns: int = 1, n_rows: int = 1) -> Any:
    """Return axes to draw on, an array (n_rows, n_columns): the given ones, else those of a new pyplot figure."""
    import numpy as np

    if ax is not None:
        return np.array(ax, dtype=object).reshape(n_rows, n_columns)
    from matplotlib import pyplot as plt

    size = (5.4 * n_columns, 4.2 * n_rows)
    return plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout="constrained")[1]


def shown_or_returned(axes: Any, show: bool | None, given: bool) -> Any:
    """Show the picture and return None, or return its axes.

    Args:
        axes: What was drawn on.
        show: Whether to show it; None: as ``scanpy.settings.autoshow`` says, and never on axes that the caller gave.
        given: Whether the caller gave the axes.
    """
    if show is None:
        scanpy = sys.modules.get("scanpy")
        show = not given and (scanpy is None or bool(scanpy.settings.autoshow))
    if not show:
        return axes
    from matplotlib import pyplot as plt

    plt.show()
    return None
