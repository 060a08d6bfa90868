"""Several experiments side by side, from their metrics.json, as one HTML page."""

from collections.abc import Mapping

from discern.evaluation.facts import FACTS, in_words
from discern.evaluation.html_elements import Html, element, joined, page, table
from discern.evaluation.measures import MEASURES, Measure
from discern.evaluation.measures_table import AS_WORDS, count_marks, judged_method, mark, measure_heading
from discern.evaluation.table import Evaluation
from discern.evaluation.verdicts import AS_MEASURED, Verdict, verdict

_MUST_AGREE = tuple(name for name in FACTS if name != "version")


def comparison_page(evaluations: Mapping[str, Evaluation]) -> str:
    """Return the page.

    Args:
        evaluations: By the name under which each is shown.
    """
    differing = [title for key, title in FACTS.items() if key in _MUST_AGREE and _differ(evaluations, key)]
    warnings = []
    if differing:
        text = (
            f"These evaluations do not look at the same cells or ask the same; they differ in: {', '.join(differing)}."
        )
        warnings.append(element("div", text, " Compare their values with care.", class_="caution"))
    notes = [
        element("div", element("strong", name), f": {note}", class_="note")
        for name, one in evaluations.items()
        for note in one.notes
    ]
    heading = "1 experiment" if len(evaluations) == 1 else f"{len(evaluations)} experiments side by side"
    return page(
        heading,
        *warnings,
        element("h2", "What was compared"),
        _facts(evaluations),
        element("h2", "Measures of the reconstruction"),
        element(
            "p",
            "Bold: the best of the experiments. Below each value stands that of the same experiment's cells as measured. "
            "Marks compare with the baselines of the same experiment:",
        ),
        element("ul", *(element("li", mark(name), f" {text}") for name, text in AS_WORDS.items())),
        _marks(evaluations),
        *_groups(evaluations),
        *([element("h2", "Notes"), *notes] if notes else []),
    )


def _differ(evaluations: Mapping[str, Evaluation], key: str) -> bool:
    return len({str(one.facts.get(key)) for one in evaluations.values()}) > 1


def _facts(evaluations: Mapping[str, Evaluation]) -> Html:
    rows = []
    for key, title in FACTS.items():
        values = [one.facts.get(key) for one in evaluations.values()]
        if any(value is not None for value in values):
            words = ("–" if one is None else in_words(one) for one in values)
            rows.append(
                [
                    element("th", title, scope="row", class_="name"),
                    *(element("td", one, class_="name") for one in words),
                ]
            )
    head = ["", *(element("th", name, scope="col", class_="name") for name in evaluations)]
    return table("What was compared", head, rows)


def _marks(evaluations: Mapping[str, Evaluation]) -> Html:
    rows = []
    for name, one in evaluations.items():
        counts = (element("td", str(n), class_="number") for n in count_marks(one).values())
        rows.append([element("th", name, scope="row", class_="name"), *counts])
    head = ["Experiment", *(element("th", mark(kind), scope="col", class_="number") for kind in AS_WORDS)]
    return table("Marks by experiment", head, rows)


def _groups(evaluations: Mapping[str, Evaluation]) -> list[Html]:
    present = {measure.name for one in evaluations.values() for measure in one.measures()}
    groups: dict[str, list[Measure]] = {}
    for measure in MEASURES.values():
        if measure.name in present:
            groups.setdefault(measure.group, []).append(measure)
    head = [
        element("th", "Measure", scope="col", class_="first"),
        *(element("th", name, scope="col", class_="number name") for name in evaluations),
    ]
    found = []
    for group, measures in groups.items():
        rows = [_row(evaluations, measure) for measure in measures]
        if any(len(row) > 1 for row in rows):
            found += [element("h3", group[0].upper() + group[1:]), table(f"Measures: {group}", head, rows)]
    return found


def _row(evaluations: Mapping[str, Evaluation], measure: Measure) -> list[Html]:
    values = {name: one.value(judged_method(one, measure), measure.name) for name, one in evaluations.items()}
    badness = {name: measure.badness(value) for name, value in values.items() if value is not None}
    least = min(badness.values(), default=None) if len(badness) > 1 else None
    first = measure_heading(measure)
    cells = []
    for name, one in evaluations.items():
        found = verdict(one, measure, judged_method(one, measure))
        best = least is not None and badness.get(name) == least
        cells.append(_cell(values[name], one.value(AS_MEASURED, measure.name), found, best))
    return [first, *cells]


def _cell(value: float | None, as_measured: float | None, found: Verdict | None, best: bool) -> Html:
    if value is None:
        return element("td", "–", class_="number")
    number = element("span", f"{value:.3f} ", class_="best" if best else None)
    measured = None if as_measured is None else joined(element("br"), element("small", f"measured {as_measured:.3f}"))
    return element("td", number, None if found is None else mark(found.mark), measured, class_="number")
