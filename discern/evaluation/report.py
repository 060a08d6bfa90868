"""The report of one evaluation: one HTML page that needs nothing else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from discern.errors import counted
from discern.evaluation.cautions import cautions
from discern.evaluation.facts import FACTS, in_words
from discern.evaluation.html_elements import Html, element, joined, page, table
from discern.evaluation.marker_genes import AFTER, BEFORE, REAL, MarkerGenes
from discern.evaluation.measures_table import AS_WORDS, count_marks, mark, measures_tables
from discern.evaluation.report_figures import (
    Picture,
    embedding_pictures,
    library_size_pictures,
    loss_pictures,
    marker_pictures,
    zero_pictures,
)
from discern.evaluation.shown_cells import MEASURED_SPACE, ShownCells
from discern.evaluation.table import Evaluation


@dataclass(frozen=True)
class Record:
    """What is known of how an experiment was made.

    Attributes:
        steps: Steps of provenance.json, the latest last.
        history: Losses by epoch; None without.
    """

    steps: Sequence[Mapping[str, Any]] = ()
    history: pd.DataFrame | None = None


def report_page(evaluation: Evaluation, shown: ShownCells | None, record: Record) -> str:
    """Return the report as one HTML file.

    Args:
        evaluation: The table of measures.
        shown: A sample of cells; without it the sections that need it are left out.
        record: How the experiment was made.
    """
    sections = {
        "summary": ("In short", _summary(evaluation, shown)),
        "measures": ("Measures", _measures(evaluation)),
        "cells": ("Cells before and after", None if shown is None else _cells(shown)),
        "zeros": ("Zeros and library sizes", None if shown is None else _zeros(shown)),
        "markers": ("Marker genes", None if shown is None else _markers(shown.markers)),
        "losses": ("Loss curves", None if record.history is None else _losses(record.history)),
        "run": ("What was run", _run(evaluation, record)),
    }
    present = {name: (title, body) for name, (title, body) in sections.items() if body is not None}
    links = element(
        "nav", *(element("a", title, href=f"#{name}") for name, (title, _) in present.items()), aria_label="Sections"
    )
    title = f"{evaluation.facts.get('experiment', 'Experiment')}, decoded into {evaluation.facts.get('target', '?')}"
    return page(title, links, *(_section(name, *content) for name, content in present.items()))


def _section(name: str, title: str, body: Html) -> Html:
    return element("section", element("h2", title, id=f"{name}-title"), body, id=name, aria_labelledby=f"{name}-title")


def _summary(evaluation: Evaluation, shown: ShownCells | None) -> Html:
    counts = count_marks(evaluation)
    marks = [joined(mark(name), f" {n} ") for name, n in counts.items()]
    warnings = cautions(evaluation, shown)
    said = [element("div", element("strong", f"{one.kind}: "), one.text, class_="caution") for one in warnings]
    if not said:
        said = [element("p", "No sign of over-mixing, over-smoothing or batches that stay apart was found.")]
    notes = [element("div", "Note: ", note, class_="note") for note in evaluation.notes]
    return joined(
        element("p", f"Measures of the reconstruction, {sum(counts.values())} in all: ", *marks),
        element("ul", *(element("li", mark(name), f" {text}") for name, text in AS_WORDS.items())),
        element("h3", "Warnings"),
        *said,
        *notes,
    )


def _measures(evaluation: Evaluation) -> Html:
    columns = [
        element("li", element("strong", one.name), f" ({one.role}): {one.meaning}") for one in evaluation.methods
    ]
    return joined(
        element(
            "p",
            "Cells of other batches, decoded into the target batch, are compared with real cells of it. Bold: the best of "
            "all columns but ceilings, which know real target cells or labels.",
        ),
        *measures_tables(evaluation),
        element("h3", "Columns"),
        element("ul", *columns),
    )


def _figures(pictures: Sequence[Picture], *, pairs: bool = False) -> Html:
    return element("div", *(one.html() for one in pictures), class_="figures pairs" if pairs else "figures")


def _cells(shown: ShownCells) -> Html:
    n_target = int((shown.batches == shown.target).sum())
    rows = []
    for space, near in shown.neighbourhoods.items():
        numbers = (near.own_type, near.own_batch, near.own_batch_if_mixed)
        rows.append([element("th", space, scope="row"), *(_number(one, ".1%") for one in numbers)])
    head = ["Space", *(_head(one) for one in ("own type", "own batch, within types", "the same at random"))]
    return joined(
        element(
            "p",
            f"A random sample of {len(shown.batches):,} cells, {n_target:,} of them from {shown.target}; all are decoded "
            f"into {shown.target}. Shares of a cell's 15 nearest neighbours say what pictures cannot prove: own type "
            f"should not fall below “{MEASURED_SPACE}”, own batch should come near to what it is at random.",
        ),
        table("Shares of nearest neighbours", head, rows),
        _figures(embedding_pictures(shown), pairs=shown.types is not None),
    )


def _zeros(shown: ShownCells) -> Html:
    pictures = zero_pictures(shown)
    said = (
        "Cells of the target batch, decoded into their own batch: how often a gene is expected to have no count, and how "
        "often it had none."
        if pictures
        else "This model estimates no probabilities of zeros."
    )
    goal = shown.normalised_to
    library = "Reconstructed expression of a cell should add up to about what counts were normalised to" + (
        "." if goal is None else f", {goal:,.0f}."
    )
    return joined(element("p", said, " ", library), _figures([*pictures, *library_size_pictures(shown)], pairs=True))


def _markers(markers: MarkerGenes | None) -> Html:
    if markers is None:
        return element(
            "p", "No marker genes: fewer than two cell types have ten cells in and outside of the target batch."
        )
    names = (REAL, BEFORE, AFTER)
    rows = [
        [element("th", one["type"], scope="row"), one["gene"], *(_number(one[name], ".2f") for name in names)]
        for one in markers.table.to_dict("records")
    ]
    return joined(
        element(
            "p",
            "Genes that set a type apart from all others in real target cells: difference of mean log expression between "
            "the type and all others. They were chosen in the first column, which flatters it a little.",
        ),
        _figures(marker_pictures(markers)),
        table("Marker genes", ["Type", "Gene", *map(_head, names)], rows),
    )


def _losses(history: pd.DataFrame) -> Html:
    return joined(
        element("p", f"{counted(len(history), 'epoch')}. The star is the epoch of the lowest validation loss."),
        _figures(loss_pictures(history)),
    )


def _run(evaluation: Evaluation, record: Record) -> Html:
    facts = [(title, in_words(evaluation.facts[key])) for key, title in FACTS.items() if key in evaluation.facts]
    parts = [table("What was compared", ["What", "Value"], [(element("th", a, scope="row"), b) for a, b in facts])]
    if record.steps:
        rows = [
            (
                element("th", in_words(step.get("step")), scope="row"),
                in_words(step.get("outcome")),
                in_words(step.get("started"))[:19].replace("T", " "),
                _number(step.get("wall_s"), ",.1f"),
                element("td", element("code", in_words(step.get("command"))), class_="first"),
            )
            for step in record.steps
        ]
        head = ["Step", "Outcome", "Started (UTC)", _head("Seconds"), "Command"]
        parts += [element("h3", "Steps before this evaluation"), table("Steps", head, rows), *_last_step(record.steps)]
    return joined(*parts)


def _last_step(steps: Sequence[Mapping[str, Any]]) -> list[Html]:
    last = steps[-1]
    inputs = [
        (
            element("td", element("code", in_words(one.get("path"))), class_="first"),
            _number(one.get("bytes"), ",d"),
            _hash(one),
        )
        for step in steps
        for one in step.get("inputs") or []
        if isinstance(one, Mapping)
    ]
    versions = last.get("versions")
    device = last.get("device")
    machine = device if isinstance(device, Mapping) else {}
    found = [table("Inputs", ["Input", _head("Bytes"), "SHA-256"], dict.fromkeys(inputs))] if inputs else []
    if isinstance(versions, Mapping):
        named = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        found.append(element("p", f"Versions: {named}. Processor: {in_words(machine.get('processor'))}."))
    if "parameters" in last:
        text = json.dumps(last["parameters"], indent=2, ensure_ascii=False)
        found.append(element("details", element("summary", "Parameters"), element("pre", text)))
    return found


def _hash(described: Mapping[str, Any]) -> Html:
    return element("td", element("code", in_words(described.get("sha256"))[:16]), class_="name")


def _head(text: str) -> Html:
    return element("th", text, scope="col", class_="number")


def _number(value: Any, form: str) -> Html:
    usable = isinstance(value, int | float | np.number) and np.isfinite(value)
    return element("td", format(value, form) if usable else "–", class_="number")
