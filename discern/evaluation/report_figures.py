"""Figures of a report: PNG inside the page, each with a caption and a text for people who do not see it."""

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from discern.errors import counted
from discern.evaluation.html_elements import Html, element
from discern.evaluation.marker_genes import AFTER, BEFORE, REAL, MarkerGenes
from discern.evaluation.shown_cells import ShownCells, batch_sizes
from discern.plotting.embedding import draw_embedding
from discern.plotting.losses import draw_losses, loss_terms
from discern.plotting.zero_calibration import calibration_error
from discern.plotting.zeros import draw_zeros
from discern.umap_pictures import plain_label

_DPI = 110
_MOST_TERMS = 6
_NAMED = 6
_WIDE = 8.0
_N_EDGES = 41
_TARGET_COLOUR, _OTHER_COLOUR = "#0072B2", "#D55E00"


@dataclass(frozen=True)
class Picture:
    """One figure.

    Attributes:
        png: The picture.
        caption: Below it.
        alternative: What it shows, in words and numbers.
    """

    png: bytes
    caption: str
    alternative: str

    def html(self) -> Html:
        """Return the figure as HTML."""
        width, height = (int.from_bytes(self.png[start : start + 4], "big") for start in (16, 20))
        source = "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")
        image = element("img", src=source, alt=self.alternative, width=width, height=height)
        return element("figure", image, element("figcaption", self.caption))


def picture(
    draw: Callable[[Any], None], caption: str, alternative: str, size: tuple[float, float] = (4.6, 3.6)
) -> Picture:
    """Return what a function draws on one pair of axes.

    Args:
        draw: Draws.
        caption: Below the picture.
        alternative: What it shows.
        size: Width and height, inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.subplots())
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it is a box there, and in the texts as it is
        figure.savefig(stream, format="png", dpi=_DPI, bbox_inches="tight")
    return Picture(stream.getvalue(), caption, alternative)


def loss_pictures(history: pd.DataFrame) -> list[Picture]:
    """Draw all losses of a history, the sum first."""
    return [_loss_picture(history, term) for term in loss_terms(history)[:_MOST_TERMS]]


def _loss_picture(history: pd.DataFrame, term: str) -> Picture:
    name = "all losses, weighted" if term == "loss" else term.replace("_", " ")
    told = [_told(history, column, where) for column, where in ((term, "training"), (f"val_{term}", "validation"))]
    alternative = f"Curve of {name} over {counted(len(history), 'epoch')}. {' '.join(one for one in told if one)}"
    return picture(lambda axes: draw_losses(axes, history, term), f"{name[0].upper()}{name[1:]}", alternative)


def _told(history: pd.DataFrame, column: str, where: str) -> str:
    if column not in history or not history[column].notna().any():
        return ""
    values = history[column]
    best = int(np.nanargmin(values.to_numpy()))
    return (
        f"In {where} from {values.iloc[0]:.4g} to {values.iloc[-1]:.4g}, lowest {values.iloc[best]:.4g} in epoch "
        f"{int(history['epoch'].iloc[best])}."
    )


def embedding_pictures(shown: ShownCells) -> list[Picture]:
    """Draw every space by batch and, where types are known, by type."""
    found = []
    for space, coordinates in shown.coordinates.items():
        near = shown.neighbourhoods[space]
        told = f" In this space {near.own_batch:.0%} of a cell's nearest neighbours are of its batch"
        told += f" ({near.own_batch_if_mixed:.0%} at random)." if np.isfinite(near.own_batch) else ""
        if not np.isfinite(near.own_batch):
            told = ""
        found.append(_embedding(space, "batch", coordinates, shown.batches, told))
        if shown.types is not None:
            told = (
                f" {near.own_type:.0%} of a cell's nearest neighbours are of its type."
                if np.isfinite(near.own_type)
                else ""
            )
            found.append(_embedding(space, "type", coordinates, shown.types, told))
    return found


def _embedding(space: str, kind: str, coordinates: np.ndarray, labels: pd.Series, told: str) -> Picture:
    sizes = batch_sizes(labels.dropna())
    named = ", ".join(f"{name} {n}" for name, n in list(sizes.items())[:_NAMED])
    more = f" and {len(sizes) - _NAMED} more" if len(sizes) > _NAMED else ""
    return picture(
        lambda axes: draw_embedding(axes, coordinates, labels),
        f"UMAP, {space}, by {kind}",
        f"UMAP of {len(labels)} cells, {space}, coloured by {kind}: {named}{more}.{told}",
        (4.6, 4.4),
    )


def zero_pictures(shown: ShownCells) -> list[Picture]:
    """Draw the calibration of zeros, and zeros by gene; nothing for a model that estimates no probabilities."""
    decoding = shown.decoding
    if decoding.calibration is None or decoding.expected_zeros is None:
        return []
    calibration = decoding.calibration
    known = np.isfinite(decoding.expected_zeros) & np.isfinite(decoding.observed_zeros)
    expected, observed = decoding.expected_zeros[known], decoding.observed_zeros[known]

    def by_gene(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--")
        axes.scatter(observed, expected, s=6, alpha=0.4, color=_TARGET_COLOUR, linewidths=0, rasterized=True)
        axes.set(
            xlabel="observed share of zeros", ylabel="expected share of zeros", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03)
        )
        axes.spines[["top", "right"]].set_visible(False)

    return [
        picture(
            lambda axes: draw_zeros(axes, calibration),
            f"Calibration of zeros: cells of {shown.target} decoded into their own batch",
            f"Observed share of counts above zero over the estimated probability, {len(calibration)} points; the mean "
            f"distance from the diagonal is {calibration_error(calibration):.3f}.",
        ),
        picture(
            by_gene,
            f"Zeros of every gene in cells of {shown.target}",
            f"Expected over observed share of zeros for {known.sum()} genes; the mean distance is "
            f"{np.abs(expected - observed).mean():.3f}, on average {expected.mean():.3f} were expected and "
            f"{observed.mean():.3f} observed.",
        ),
    ]


def library_size_pictures(shown: ShownCells) -> list[Picture]:
    """Draw counts per cell as measured, and what reconstructed expression adds up to."""
    of_target = (shown.batches == shown.target).to_numpy()
    sides = [(shown.target, of_target, _TARGET_COLOUR), ("other batches", ~of_target, _OTHER_COLOUR)]
    sides = [side for side in sides if side[1].any()]
    totals = shown.decoding.total
    goal = shown.normalised_to
    medians = ", ".join(f"{name} {np.median(shown.library_size[cells]):.0f}" for name, cells, _ in sides)
    sums = ", ".join(f"{name} {np.median(totals[cells]):.0f}" for name, cells, _ in sides)
    aim = "" if goal is None else f" Normalised counts add up to {goal:.0f}."
    return [
        picture(
            lambda axes: _histograms(axes, shown.library_size, sides, None, "counts per cell"),
            "Library sizes as measured",
            f"Histogram of counts per cell. Medians: {medians}.",
        ),
        picture(
            lambda axes: _histograms(axes, totals, sides, goal, "sum of expected expression per cell"),
            "Library sizes after reconstruction" + ("" if goal is None else " (dashed: what counts are normalised to)"),
            f"Histogram of the sum of expected expression per cell. Medians: {sums}.{aim}",
        ),
    ]


def _histograms(
    axes: Any, values: np.ndarray, sides: Sequence[tuple[str, np.ndarray, str]], goal: float | None, label: str
) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    usable = values[np.isfinite(values) & (values > 0)]
    ends = [*usable, *([] if goal is None else [goal])] or [1.0]
    low, high = min(ends) / 1.05, max(ends) * 1.05
    is_wide = high > _WIDE * low
    edges = np.geomspace(low, high, _N_EDGES) if is_wide else np.linspace(low, high, _N_EDGES)
    for name, cells, colour in sides:
        weights = np.full(cells.sum(), 1 / cells.sum())
        axes.hist(values[cells], edges, weights=weights, histtype="step", lw=1.5, color=colour, label=plain_label(name))
    if goal is not None:
        axes.axvline(goal, color="0.4", ls="--", lw=1)
    if is_wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set(xlabel=label, ylabel="share of cells")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def marker_pictures(markers: MarkerGenes) -> list[Picture]:
    """Draw the mean expression of marker genes by type: real target cells, and others before and after."""
    highest = pd.concat(list(markers.means.values())).max()
    highest = highest.where(highest > 0, 1.0)
    captions = {
        REAL: "Real cells of the target batch",
        BEFORE: "Other batches, as measured",
        AFTER: "Other batches, reconstructed",
    }
    return [_heat_map(markers.means[name] / highest, caption) for name, caption in captions.items()]


def _heat_map(means: pd.DataFrame, caption: str) -> Picture:
    def draw(axes: Any) -> None:
        image = axes.imshow(means.to_numpy().T, aspect="auto", cmap="viridis", vmin=0, vmax=1)
        axes.set_xticks(
            range(len(means)), [plain_label(str(name)) for name in means.index], rotation=60, ha="right", fontsize=8
        )
        axes.set_yticks(range(means.shape[1]), [plain_label(str(name)) for name in means.columns], fontsize=7)
        axes.figure.colorbar(image, ax=axes, label="mean expression, share of the highest", shrink=0.8)

    return picture(
        draw,
        caption,
        f"Heat map: {caption[0].lower()}{caption[1:]}, mean expression of {means.shape[1]} marker genes in {len(means)} "
        "types; the table below gives the differences.",
        (4.6, 1.4 + 0.17 * means.shape[1]),
    )
