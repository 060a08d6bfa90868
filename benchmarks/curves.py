"""Draw time and peak memory against the number of cells from the results of process, train and project.

Usage: python -m benchmarks.curves PICTURE.png process.json train.json project.json
       python -m benchmarks.curves PICTURE.png "in memory=before.json" "in pieces=after.json"
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

GB = 1e9


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("results", nargs="+", help="JSON files; NAME=FILE names a curve, else it is the command")
    arguments = parser.parse_args()
    draw(dict(map(_named, arguments.results)), arguments.picture)


def _named(argument: str) -> tuple[str, list[dict[str, Any]]]:
    name, separator, path = argument.rpartition("=")
    results = json.loads(Path(path).read_text(encoding="utf-8"))
    return name if separator else results["command"], results["runs"]


def draw(series: Mapping[str, list[dict[str, Any]]], picture: Path) -> None:
    """Draw two axes, time and memory, both logarithmic.

    Args:
        series: Name of a curve → its runs, as :func:`benchmarks.against_cells.measure_series` writes them.
        picture: A PNG file.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    time, memory = figure.subplots(1, 2)
    for name, runs in series.items():
        cells = [run["n_cells"] for run in runs]
        time.plot(cells, [run["seconds"] for run in runs], marker="o", label=name)
        memory.plot(cells, [run["peak_bytes"] / GB for run in runs], marker="o", label=name)
    _proportional(time, series)
    for axes, title, unit in ((time, "Time", "seconds"), (memory, "Peak memory", "GB")):
        axes.set(title=title, xlabel="cells", ylabel=unit, xscale="log", yscale="log")
        numbers = sorted({run["n_cells"] for runs in series.values() for run in runs})
        axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.3)
    most = max(run["peak_bytes"] for runs in series.values() for run in runs) / GB
    memory.set_ylim(0.1, 3 * most)
    time.legend()
    figure.savefig(picture, dpi=120)


def _proportional(axes: Axes, series: Mapping[str, list[dict[str, Any]]]) -> None:
    """Add what time proportional to the number of cells would be, from the first point of every curve."""
    for number, runs in enumerate(series.values()):
        first, last = runs[0], runs[-1]
        ends = [first["seconds"], first["seconds"] * last["n_cells"] / first["n_cells"]]
        label = "proportional to cells" if number == 0 else None
        axes.plot([first["n_cells"], last["n_cells"]], ends, color="0.6", linestyle=":", zorder=1, label=label)


if __name__ == "__main__":
    main()
