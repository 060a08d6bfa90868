"""Early stopping that ignores the first epochs."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import keras

from discern.errors import ParametersError

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
        baseline: Value to start from: only a better one is an improvement.
        restore_best_weights: Restore the weights of the best epoch when stopping.
        relative_min_delta: Smallest change as a fraction of the best value, in place of ``min_delta``.
    """

    wait: int
    best: float | None
    best_epoch: int

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
        self.best_epoch = 0
        self.relative_min_delta = relative_min_delta
        self._best_logs: dict[str, float] = {}
        self._best_is_earlier = False
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

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from an earlier :attr:`state` when training begins."""
        self._resumed = dict(state)

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget earlier training, or take it up."""
        super().on_train_begin(logs)
        # Keras 3 lets a run that gets better without ever beating the baseline go on; that of TensorFlow 2.1 did not
        self.best = self._resumed.get("best", self.baseline)
        self.wait = self._resumed.get("wait", self.wait)
        self.best_epoch = self._resumed.get("best_epoch", self.best_epoch)
        self._best_logs = dict(self._resumed.get("best_logs", {}))
        self._best_is_earlier = bool(self._best_logs)
        self._resumed = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare from epoch ``delay`` on.

        Raises:
            ParametersError: The history has no column ``monitor``.
        """
        logs = dict(logs or {})
        if self.monitor not in logs:
            raise ParametersError(
                f"Early stopping cannot monitor '{self.monitor}': the history has no such column. "
                f"Use one of: {', '.join(logs)}."
            )
        if epoch < self.delay:
            return
        if self.monitor_op is None:  # Keras would wait longer and then change the sign of min_delta once more
            self._set_monitor_op()
        if self.relative_min_delta is not None and self.best is not None:
            self.min_delta = math.copysign(self.relative_min_delta * abs(self.best), self._sign)
        best, best_epoch = self.best, self.best_epoch
        super().on_epoch_end(epoch, logs)
        if self.best is not best:
            self._best_logs, self._best_is_earlier = logs, False
        else:
            self.best_epoch = best_epoch  # Keras names the first epoch of this run, even when an earlier one was better
        if self.model.stop_training and self.stopped_epoch == epoch:
            self._report(epoch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Restore the best weights when asked to and when this run has seen them."""
        if self.restore_best_weights and self._best_is_earlier:
            _LOGGER.info("The best weights are those of epoch %d, before training was resumed.", self.best_epoch + 1)
            self.best_weights = None
        super().on_train_end(logs)

    @property
    def _sign(self) -> float:
        return 1.0 if self.monitor_op(1, 0) else -1.0

    def _report(self, epoch: int, logs: Mapping[str, float]) -> None:
        changes = [
            f"{name} {self._best_logs[name]:.5g} → {value:.5g}"
            for name, value in logs.items()
            if name in self._best_logs and name.startswith("val_") == self.monitor.startswith("val_")
        ]
        if not self._best_logs:
            _LOGGER.info("Stopped after epoch %d: %s did not reach %g.", epoch + 1, self.monitor, self.baseline)
            return
        _LOGGER.info(
            "Stopped after epoch %d: %s has not improved since epoch %d. Since then: %s.",
            epoch + 1,
            self.monitor,
            self.best_epoch + 1,
            ", ".join(changes),
        )
