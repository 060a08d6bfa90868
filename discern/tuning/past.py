"""What a search did before it was interrupted, read from its own folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from discern.errors import ExperimentError
from discern.tuning.search_folder import SearchFolder, TrialFolder

_CHANGE_NO_TRIAL = {
    ("setup",),
    ("searcher", "max_concurrent"),
    ("train_spec", "num_samples"),
    ("train_spec", "max_failures"),
    ("train_spec", "time_budget_s"),
    ("train_spec", "checkpoint_at_end"),
    ("train_spec", "resources_per_trial"),
    ("train_spec", "name"),
}


@dataclass(frozen=True)
class PastTrial:
    """A trial of an earlier run.

    Attributes:
        folder: Where it is.
        sample: Its sample.
        results: What it reported.
        status: How it ended; empty while it can go on.
    """

    folder: TrialFolder
    sample: dict[str, Any]
    results: list[dict[str, Any]]
    status: str

    @property
    def ended_at(self) -> float:
        """When it reported last, seconds since 1970; 0 when it never did."""
        return float(self.results[-1].get("reported_at", 0.0)) if self.results else 0.0

    @property
    def best_epoch(self) -> int:
        """The epoch of the model that the last report is of; 0 when there is none."""
        return int(self.results[-1].get("best_epoch", 0)) if self.results else 0

    def value(self, metric: str) -> float | None:
        """Return the last value of a metric, that of the model which the trial keeps; None for a trial that failed."""
        if self.status == "failed" or not self.results:
            return None
        value = self.results[-1].get(metric)
        return None if value is None else float(value)


def read_past(folder: SearchFolder) -> list[PastTrial]:
    """Return all trials that were begun, in the order in which they were."""
    return [
        PastTrial(one, one.read_sample(), one.read_results(), (one.read_outcome() or {}).get("status", ""))
        for one in folder.all_trials()
    ]


def begin_or_go_on(folder: SearchFolder, description: Mapping[str, Any]) -> bool:
    """Write what is searched, or compare it with what was; return whether there was an earlier search.

    Args:
        folder: The search.
        description: ``experiment``, ``data``, ``search``, ``seed``, ... as they are now.

    Raises:
        ExperimentError: The search was begun with other parameters, data, seed or search file.
    """
    now = json.loads(json.dumps(description))
    if not folder.description_file.is_file():
        folder.write_description(now)
        return False
    changes = list(_changes(_deciding(folder.read_description()), _deciding(now)))
    if changes:
        raise ExperimentError(
            f"{folder.path} holds a search that was begun otherwise: {'; '.join(changes[:5])}"
            f"{f'; and {len(changes) - 5} more' if len(changes) > 5 else ''}. Restore what it was begun with, or begin anew "
            "with `discern optimize --restart`, which keeps the old search."
        )
    folder.write_description(now)
    return True


def _deciding(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description without what decides neither samples nor results."""
    content: dict[str, Any] = json.loads(json.dumps(description))
    content.pop("experiment", None)  # it may have been moved; what decides of it stands in another place
    for *way, last in _CHANGE_NO_TRIAL:
        section = content.get("search", {})
        for key in way:
            section = section.get(key, {})
        section.pop(last, None)
    return content


def _changes(before: Any, now: Any, path: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        return [
            change
            for key in keys
            for change in _changes(before.get(key), now.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if before == now else [f"{path} is {_shown(now)}, was {_shown(before)}"]


def _shown(value: Any) -> str:
    return json.dumps(value)[:100]
