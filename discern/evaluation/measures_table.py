"""The measures of one evaluation as HTML tables, with marks and one sentence each."""

from collections.abc import Sequence
from itertools import groupby

from discern.evaluation.html_elements import Html, element, joined, table
from discern.evaluation.measures import Measure
from discern.evaluation.table import Evaluation, Method
from discern.evaluation.verdicts import Mark, verdict

_SIGNS: dict[Mark, str] = {"pass": "✓", "warn": "!", "fail": "✗"}
_ORDER = ("estimate", "baseline", "ceiling")
AS_WORDS: dict[Mark, str] = {
    "pass": "no baseline is better.",
    "warn": "a baseline is better, but the cells as measured are not.",
    "fail": "the cells as measured are better: for this purpose leave the data as they are.",
}
RECONSTRUCTED, DRAWN = "reconstructed", "zeros drawn"  # as in methods.py, which needs TensorFlow
_OF_DRAWN = {"zero_fraction_error"}  # an expectation is never exactly zero


def mark(name: Mark) -> Html:
    """Return a mark in colour, sign and word."""
    return element("span", f"{_SIGNS[name]} {name}", class_=f"mark {name}")


def judged_method(evaluation: Evaluation, measure: Measure) -> str:
    """Return the name of the model's estimate that a measure judges."""
    names = {one.name for one in evaluation.methods}
    return DRAWN if measure.name in _OF_DRAWN and DRAWN in names else RECONSTRUCTED


def count_marks(evaluation: Evaluation) -> dict[Mark, int]:
    """Return how many measures the model's estimates pass, are warned of, and fail."""
    found = [verdict(evaluation, measure, judged_method(evaluation, measure)) for measure in evaluation.measures()]
    marks = [one.mark for one in found if one is not None]
    return {name: marks.count(name) for name in _SIGNS}


def better_in_words(measure: Measure) -> str:
    """Return which way is better."""
    return f"best near {measure.ideal:g}" if measure.better == "near" else f"{measure.better} is better"


def measures_tables(evaluation: Evaluation) -> list[Html]:
    """Return a heading and a table for every group of measures; columns without a value are left out."""
    found = []
    for group, members in groupby(evaluation.measures(), key=lambda measure: measure.group):
        measures = list(members)
        present = [one for one in evaluation.methods if any(_has(evaluation, one, measure) for measure in measures)]
        methods = sorted(present, key=lambda one: _ORDER.index(one.role))
        head = [element("th", "Measure", scope="col", class_="first"), *(_column(one) for one in methods)]
        rows = [_row(evaluation, measure, methods) for measure in measures]
        title = group[0].upper() + group[1:]
        found += [element("h3", title), table(f"Measures: {group}", head, rows)]
    return found


def _has(evaluation: Evaluation, method: Method, measure: Measure) -> bool:
    return evaluation.value(method.name, measure.name) is not None


def _column(method: Method) -> Html:
    return element("th", method.name, scope="col", class_="number ceiling" if method.role == "ceiling" else "number")


def measure_heading(measure: Measure, *more: Html) -> Html:
    """Return the first cell of a measure's row: name, direction and meaning, and what else is given."""
    return element(
        "th",
        element("strong", measure.name.replace("_", " ")),
        f" ({better_in_words(measure)})",
        element("br"),
        element("small", measure.meaning),
        *more,
        scope="row",
        class_="first",
    )


def _row(evaluation: Evaluation, measure: Measure, methods: Sequence[Method]) -> list[Html]:
    best = evaluation.best(measure)
    name = judged_method(evaluation, measure)
    found = verdict(evaluation, measure, name)
    said = "" if found is None else f" {name[0].upper()}{name[1:]} {found.sentence}"
    sentence = (
        element("small", "Nothing to compare with.")
        if found is None
        else joined(mark(found.mark), element("small", said))
    )
    first = measure_heading(measure, element("br"), sentence)
    return [first, *(_value(evaluation, measure, one, one.name in best) for one in methods)]


def _value(evaluation: Evaluation, measure: Measure, method: Method, best: bool) -> Html:
    value = evaluation.value(method.name, measure.name)
    classes = ["number", *(["best"] if best else []), *(["ceiling"] if method.role == "ceiling" else [])]
    if value is None:
        return element("td", "–", class_=" ".join(classes))
    found = verdict(evaluation, measure, method.name) if method.role == "estimate" else None
    sign = None if found is None else element("span", _SIGNS[found.mark], class_=f"mark {found.mark}", title=found.mark)
    return element("td", f"{value:.3f} " if sign else f"{value:.3f}", sign, class_=" ".join(classes))
