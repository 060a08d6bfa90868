"""What an evaluation has found so far."""

import logging
from dataclasses import dataclass, field
from typing import Any

from discern.evaluation.table import Evaluation, Method

_LOGGER = logging.getLogger(__name__)


@dataclass
class Findings:
    """Scores, collected one method at a time.

    Attributes:
        methods: By name, in the order in which they came.
        scores: By method and measure.
        facts: What was compared.
        notes: What a reader must know.
    """

    methods: dict[str, Method] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, method: Method, scores: dict[str, float]) -> None:
        """Add scores of a method to those it has."""
        self.methods.setdefault(method.name, method)
        self.scores.setdefault(method.name, {}).update(scores)
        _LOGGER.info("Scored: %s", method.name)

    def note(self, text: str) -> None:
        """Add and log a note, once."""
        if text not in self.notes:
            self.notes.append(text)
            _LOGGER.info("%s", text)

    def evaluation(self) -> Evaluation:
        """Return the whole table."""
        return Evaluation(self.facts, list(self.methods.values()), self.scores, self.notes)
