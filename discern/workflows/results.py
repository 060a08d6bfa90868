"""Results of work that needs TensorFlow: a process that only receives them must not import it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainResult:
    """How training ended.

    Attributes:
        epochs: Epochs trained in all.
        best: Best monitored value.
        finished: Nothing was left to do.
    """

    epochs: int
    best: float | None
    finished: bool
