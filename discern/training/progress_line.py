"""One line per epoch: the losses and the time left."""

from contextlib import ExitStack
from typing import Any

import keras

from discern.progress import Report, progress


class ProgressLine(keras.callbacks.Callback):
    """Report every epoch through :func:`discern.progress.progress`."""

    def __init__(self, first_epoch: int, last_epoch: int):
        """Remember which epochs are to come.

        Args:
            first_epoch: Epochs already trained.
            last_epoch: Epochs at most.
        """
        super().__init__()
        self._first = first_epoch
        self._total = last_epoch - first_epoch
        self._stack = ExitStack()
        self._report: Report | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the bar."""
        self._report = self._stack.enter_context(progress("Training, epoch", self._total, every_step=True))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Show the losses."""
        text = ", ".join(f"{name} {value:.6g}" for name, value in (logs or {}).items() if name in {"loss", "val_loss"})
        if self._report is not None:
            self._report(epoch + 1 - self._first, text)

    def on_train_end(self, logs: Any = None) -> None:
        """Close the bar."""
        self._stack.close()
