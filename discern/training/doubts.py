"""What looks wrong with a model whose training ended without an error."""

import logging
from pathlib import Path

from discern.models.contract import ModelFamily
from discern.training.checkpoint_callback import read_history

_LOGGER = logging.getLogger(__name__)


def tell_of_doubts(name: str, family: ModelFamily, history: Path, epoch: int) -> None:
    """Warn of what a family doubts about the weights that are kept.

    Args:
        name: Of the experiment.
        family: What was trained.
        history: File with a row for every epoch.
        epoch: The one whose weights are kept.
    """
    kept = next((row for row in read_history(history) if int(row["epoch"]) == epoch), {})
    for doubt in family.doubts({column: float(value) for column, value in kept.items() if value}):
        _LOGGER.warning("%s: %s", name, doubt)
