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


@dataclass(frozen=True)
class OnlineResult:
    """What online training added.

    Attributes:
        n_cells: Cells added.
        new_batches: Batches the model did not know.
        epochs: Epochs trained on the new cells.
        best: Best monitored value on them.
        genes: For every data set that was added, how many genes of the model it has and lacks.
    """

    n_cells: int
    new_batches: list[str]
    epochs: int
    best: float | None
    genes: dict[str, dict[str, int | str]]
