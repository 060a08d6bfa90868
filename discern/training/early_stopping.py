"""Early stopping that ignores the first epochs."""

import logging
from typing import Any

import keras

_LOGGER = logging.getLogger(__name__)


class DelayedEarlyStopping(keras.callbacks.EarlyStopping):
    """Keras' early stopping that neither counts nor compares before epoch ``delay``.

    When it stops, it logs which terms moved since the best epoch.

    Args:
        delay: Number of first epochs that do not count.
        monitor: Column of the history.
        min_delta: Smallest change that counts as an improvement.
        patience: Epochs without improvement before stopping.
        verbose: As in Keras.
        mode: ``min``, ``max`` or ``auto`` (smaller is better unless the name says otherwise).
        baseline: Value that must be beaten.
        restore_best_weights: Restore the weights of the best epoch when stopping.
        relative_min_delta: Smallest change as a fraction of the best value, in place of ``min_delta``.
    """

    def __init__(
        self,
        delay: int = 0,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        *,
        relative_min_delta: float | None = None,
    ):
        # Keras finds the direction of "auto" from compiled metrics, which our losses are not.
        direction = "min" if mode == "auto" and "loss" in monitor else mode
        super().__init__(
            monitor=monitor,
            min_delta=min_delta,
            patience=patience,
            verbose=verbose,
            mode=direction,
            baseline=baseline,
            restore_best_weights=restore_best_weights,
        )
        self.delay = delay
        self.relative_min_delta = relative_min_delta
        self._best_logs: dict[str, float] = {}
        self._resumed: dict[str, Any] = {}

    @property
    def state(self) -> dict[str, Any]:
        """What :meth:`resume` needs, JSON types only."""
        return {
            "wait": self.wait,
            "best": None if self.best is None else float(self.best),
            "best_epoch": self.best_epoch,
            "best_logs": {name: float(value) for name, value in self._best_logs.items()},
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from an earlier :attr:`state` when training begins."""
        self._resumed = dict(state)

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget earlier training, or take it up."""
        super().on_train_begin(logs)
        self.wait = self._resumed.get("wait", self.wait)
        self.best = self._resumed.get("best", self.best)
        self.best_epoch = self._resumed.get("best_epoch", self.best_epoch)
        self._best_logs = self._resumed.get("best_logs", {})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare from epoch ``delay`` on."""
        if epoch < self.delay:
            return
        if self.relative_min_delta is not None and self.best is not None:
            sign = -1.0 if self.min_delta < 0 or self.mode == "min" else 1.0
            self.min_delta = sign * self.relative_min_delta * abs(self.best)
        before = self.best_epoch
        super().on_epoch_end(epoch, logs)
        if self.best_epoch != before or not self._best_logs:
            self._best_logs = dict(logs or {})
        if self.model.stop_training:
            self._report(epoch, logs or {})

    def _report(self, epoch: int, logs: dict[str, float]) -> None:
        changes = [
            f"{name} {self._best_logs[name]:.5g} → {value:.5g}"
            for name, value in logs.items()
            if name in self._best_logs and name.startswith("val_") == self.monitor.startswith("val_")
        ]
        _LOGGER.info(
            "Stopped after epoch %d: %s has not improved since epoch %d. Since then: %s.",
            epoch + 1,
            self.monitor,
            self.best_epoch + 1,
            ", ".join(changes),
        )
