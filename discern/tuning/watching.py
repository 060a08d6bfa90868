"""What happens between the trials of a search: when it ends, and what is written of each trial."""

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ray.tune import Callback, Stopper

from discern.errors import ParametersError
from discern.io.whole_files import write_text
from discern.training.received_signals import ReceivedSignals
from discern.tuning.metrics import check_reported
from discern.tuning.search_folder import SearchFolder

_SECONDS_OF_A_SIGNAL = 2.0  # within which it reaches all processes of a job
_LOGGER = logging.getLogger(__name__)

Row = dict[str, Any]


class EndOfSearch(Stopper):
    """Ends trials at the thresholds of the search file, and all of them after a signal or when time is up.

    Attributes:
        reason: Why all have ended; empty as long as they go on.
    """

    def __init__(
        self, thresholds: Mapping[str, float | bool], received: ReceivedSignals, seconds: float | None = None
    ) -> None:
        """Start the clock.

        Args:
            thresholds: A trial ends when a reported number reaches one of these.
            received: A signal ends the search.
            seconds: The time that it may take.
        """
        self._thresholds, self._received = dict(thresholds), received
        self._deadline = math.inf if seconds is None else time.monotonic() + seconds
        self._seconds = seconds
        self.reason = ""

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Tell whether a trial has reached a threshold."""
        return any(name in result and result[name] >= limit for name, limit in self._thresholds.items())

    def is_interrupted(self, seconds: float = 0.0) -> bool:
        """Tell whether a signal came; wait so long for one."""
        deadline = time.monotonic() + seconds
        while self._received.first is None and time.monotonic() < deadline:
            time.sleep(0.05)
        return self._received.first is not None

    def stop_all(self) -> bool:
        """Tell whether the search ends."""
        if not self.reason and self._received.first is not None:
            self.reason = f"{self._received.first.name} came"
        if not self.reason and time.monotonic() >= self._deadline:
            self.reason = f"the {self._seconds:g} s of its time budget are over"
        return bool(self.reason)


class TrialLog(Callback):
    """Writes how every trial ended, and shows what it reports.

    Attributes:
        fault: Why the search cannot go on; None as long as it can.
    """

    def __init__(
        self, folder: SearchFolder, needed: Collection[str], end: EndOfSearch, show: Callable[[str, Row, str], None]
    ) -> None:
        """Watch a search.

        Args:
            folder: Where outcomes are written.
            needed: Metrics that trials must report.
            end: Is told when they do not.
            show: Called with the name of a trial, what it reported last, and its status.
        """
        self._folder, self._needed, self._end, self._show = folder, needed, end, show
        self.fault: ParametersError | None = None

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Show that it runs."""
        self._show(str(trial), {}, "running")

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Row, **info: Any) -> None:
        """Show it, and check that it holds what the search needs."""
        if not result.get("failed") and not result.get("diverged"):
            try:
                check_reported(self._needed, result)
            except ParametersError as error:
                self.fault, self._end.reason = error, "a metric is not reported"
        self._show(str(trial), result, "running")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say that it died, unless it did with the whole job."""
        error = self._keep_error(trial)
        if not self._end.is_interrupted(_SECONDS_OF_A_SIGNAL):
            _LOGGER.warning("Trial %s died and begins again from its last state: %s", trial, error)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write that it has ended."""
        result = trial.last_result or {}
        status = next((one for one in ("diverged", "failed") if result.get(one)), "finished")
        self._write(trial, status, str(result.get("why", "")))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write that it died too often; one that died of the signal that ends the search can go on."""
        error = self._keep_error(trial)
        if not self._end.is_interrupted(_SECONDS_OF_A_SIGNAL):
            self._write(trial, "failed", error)

    def _keep_error(self, trial: Any) -> str:
        """Write what the process said, and return its last line."""
        error = str(trial.get_error() or "its process was lost")
        write_text(self._folder.trial(str(trial)).error_file, error)
        lines = [line.strip() for line in error.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def _write(self, trial: Any, status: str, why: str) -> None:
        if why:
            _LOGGER.warning("Trial %s %s: %s", trial, status, why)
        self._folder.trial(str(trial)).write_outcome(status, why)
        self._show(str(trial), trial.last_result or {}, status)
