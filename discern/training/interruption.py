"""SIGTERM and Ctrl-C while training: it ends where it can be taken up, and says where.

Where epochs are long, the state of the last one is on disk: training ends after the minibatch at hand. Where they are
so short that not every state is written, the epoch at hand is finished and its state written.
"""

import signal
from collections.abc import Sequence
from typing import Any

import keras

from discern.errors import StoppedBySignalError
from discern.training.checkpoint_callback import SaveCheckpoints
from discern.training.received_signals import ReceivedSignals


class TrainingInterruptedError(StoppedBySignalError):
    """Training was ended by a signal and can be taken up."""

    def __init__(self, received: signal.Signals, epoch: int):
        """Say how to go on.

        Args:
            received: The signal.
            epoch: Epochs that the state on disk has seen.
        """
        onwards = f"goes on after epoch {epoch}" if epoch else "begins anew: no epoch is complete"
        super().__init__(f"Training was interrupted ({received.name}). The next `discern train` {onwards}.")
        self.exit_code = 128 + received


class StopOnSignal(keras.callbacks.Callback):
    """Raise :class:`TrainingInterruptedError` after a signal, as soon as the state of the last epoch is on disk.

    Args:
        received: The signals.
        callbacks: All others; this one must be called after them.
    """

    def __init__(self, received: ReceivedSignals, callbacks: Sequence[keras.callbacks.Callback]):
        super().__init__()
        self._received = received
        self._checkpoints = next(one for one in callbacks if isinstance(one, SaveCheckpoints))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop when all earlier epochs are on disk."""
        if self._received.first is not None and self._checkpoints.is_up_to_date:
            raise TrainingInterruptedError(self._received.first, self._checkpoints.epoch_on_disk)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop when all earlier epochs are on disk."""
        self.on_train_batch_end(batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop with the state of this epoch; after the last one there is nothing to stop."""
        if self._received.first is not None and not self._checkpoints.is_last(epoch):
            self._checkpoints.write_state()
            raise TrainingInterruptedError(self._received.first, self._checkpoints.epoch_on_disk)
