"""Training ends when a value is no longer finite, and says which term broke."""

from typing import Any

import keras
import numpy as np

from discern.errors import DivergenceError

_MINIBATCHES_BETWEEN_CHECKS = 20


class StopOnDivergence(keras.callbacks.Callback):
    """Raise :class:`DivergenceError` as soon as a logged term is not finite.

    Reading a value waits for the device, hence not after every minibatch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember the epoch for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Check the running means."""
        if batch % _MINIBATCHES_BETWEEN_CHECKS == 0:
            self._check(logs or {}, f"minibatch {batch + 1} of epoch {self._epoch + 1}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Check the means of the epoch."""
        self._check(logs or {}, f"epoch {epoch + 1}")

    def _check(self, logs: dict[str, Any], where: str) -> None:
        broken = [name for name, value in logs.items() if not np.isfinite(float(value))]
        if broken:
            terms = [name for name in broken if name not in {"loss", "val_loss"}] or broken
            terms = [name for name in terms if not name.startswith("val_")] or terms  # they follow those of training
            raise DivergenceError(
                f"Training diverged in {where}: {', '.join(terms)} is not finite. The best weights so far are kept. "
                "Lower training.optimizer.learning_rate or the weight of that term, or check the input."
            )
