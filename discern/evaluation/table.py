"""The table of an evaluation: every measure for every method, the best of the estimates marked."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from discern.errors import ExperimentError, names_in_short
from discern.evaluation.measures import MEASURES, Measure
from discern.io.json_files import read_json
from discern.io.whole_files import write_json, write_text

Role = Literal["estimate", "baseline", "ceiling"]
_DIGITS = 6


@dataclass(frozen=True)
class Method:
    """One column of the table.

    Attributes:
        name: Its name, unique.
        role: ``estimate``: of the model or another tool; ``baseline``: what needs neither; ``ceiling``: what uses real
            target cells or labels, and is never marked as best.
        meaning: One sentence.
    """

    name: str
    role: Role
    meaning: str


@dataclass(frozen=True)
class Evaluation:
    """What was evaluated and found.

    Attributes:
        facts: What was compared: target, labels, numbers of cells and genes, seed, version.
        methods: The columns.
        scores: Values by name of method and measure; a measure that does not apply is absent or not finite.
        notes: What a reader must know, e.g. which rows are missing and why.
    """

    facts: Mapping[str, Any]
    methods: Sequence[Method]
    scores: Mapping[str, Mapping[str, float]]
    notes: Sequence[str]

    def measures(self) -> list[Measure]:
        """Return the measures that some method has, in their order."""
        found = {name for scores in self.scores.values() for name, value in scores.items() if isfinite(value)}
        unknown = {name for scores in self.scores.values() for name in scores} - set(MEASURES)
        if unknown:
            raise KeyError(f"measures without declaration: {sorted(unknown)}")
        return [measure for name, measure in MEASURES.items() if name in found]

    def best(self, measure: Measure) -> list[str]:
        """Return the names of the methods that are best, ceilings left out; none when there is nothing to compare."""
        values = {one.name: self.value(one.name, measure.name) for one in self.methods if one.role != "ceiling"}
        badness = {name: measure.badness(value) for name, value in values.items() if value is not None}
        if len(badness) < 2:
            return []
        least = min(badness.values())
        return [name for name, value in badness.items() if value == least]

    def value(self, method: str, measure: str) -> float | None:
        """Return one value, rounded; None where the measure does not apply."""
        value = self.scores.get(method, {}).get(measure)
        return None if value is None or not isfinite(value) else round(value, _DIGITS)

    def frame(self) -> pd.DataFrame:
        """Return one row per measure: group, better, ideal, best, then one column per method (NaN: does not apply)."""
        rows = [
            {"measure": one.name, "group": one.group, "better": one.better, "ideal": one.ideal}
            | {"best": "; ".join(self.best(one))}
            | {method.name: self.value(method.name, one.name) for method in self.methods}
            for one in self.measures()
        ]
        columns = ["measure", "group", "better", "ideal", "best", *(method.name for method in self.methods)]
        types = {method.name: "float64" for method in self.methods}
        return pd.DataFrame(rows, columns=columns).astype(types).set_index("measure")

    def as_json(self) -> dict[str, Any]:
        """Return the content of metrics.json; infinite ends of a range are null."""
        measures = []
        for one in self.measures():
            declared = {
                key: None if isinstance(value, float) and not isfinite(value) else value
                for key, value in asdict(one).items()
            }
            values = {method.name: self.value(method.name, one.name) for method in self.methods}
            measures.append(declared | {"best": self.best(one), "values": values})
        return {
            **self.facts,
            "notes": list(self.notes),
            "methods": [asdict(method) for method in self.methods],
            "measures": measures,
        }

    def write(self, folder: Path) -> list[Path]:
        """Write metrics.json and metrics.csv and return their paths."""
        paths = [folder / "metrics.json", folder / "metrics.csv"]
        write_json(paths[0], self.as_json())
        write_text(paths[1], self.frame().to_csv())
        return paths


def read_evaluation(path: Path) -> Evaluation:
    """Read metrics.json.

    Raises:
        ExperimentError: The file is no metrics.json, or of another version of the program.
    """
    content = dict(read_json(path))
    try:
        measures, methods = content.pop("measures"), [Method(**one) for one in content.pop("methods")]
        notes = [str(note) for note in content.pop("notes")]
        scores: dict[str, dict[str, float]] = {method.name: {} for method in methods}
        for one in measures:
            for name, value in one["values"].items():
                if value is not None:
                    scores[name][one["name"]] = float(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExperimentError(f"{path} holds no evaluation. Run `discern evaluate` again.") from error
    unknown = sorted({name for of_method in scores.values() for name in of_method} - set(MEASURES))
    if unknown:
        raise ExperimentError(
            f"{path} was written by another version of DISCERN: it holds {names_in_short(unknown)}, which this version does "
            "not know. Run `discern evaluate` again."
        )
    return Evaluation(content, methods, scores, notes)
