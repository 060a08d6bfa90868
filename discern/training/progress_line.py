"""One line per epoch: the losses and the time left."""

from contextlib import ExitStack
from typing import Any

import keras

from discern.progress import Report, progress


class ProgressLine(keras.callbacks.Callback):
    """Report every epoch through :func:`discern.progress.progress`."""

    def __init__(self, first_epoch: int, last_epoch: int, may_end_early: bool = False):
        """Remember which epochs are to come.

        Args:
            first_epoch: Epochs already trained.
            last_epoch: Epochs at most.
            may_end_early: Early stopping is at work.
        """
        super().__init__()
        self._done_before = first_epoch
        self._total = last_epoch
        self._may_end_early = may_end_early
        self._stack = ExitStack()
        self._report: Report | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the bar."""
        self._report = self._stack.enter_context(
            progress(
                "Training, epoch",
                self._total,
                every_step=True,
                done_before=self._done_before,
                may_end_early=self._may_end_early,
            )
        )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Show the losses."""
        text = ", ".join(f"{name} {value:.6g}" for name, value in (logs or {}).items() if name in {"loss", "val_loss"})
        if self._report is not None:
            self._report(epoch + 1, text)

    def on_train_end(self, logs: Any = None) -> None:
        """Close the bar."""
        self._stack.close()
