"""After epochs: the state to resume from, the best weights, and the history."""

import csv
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from discern.errors import ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.whole_files import write_text
from discern.models.contract import ModelFamily
from discern.training.checkpoints import Checkpoint, save_checkpoint
from discern.training.early_stopping import DelayedEarlyStopping

_SHARE_OF_TIME = 0.05


class SaveCheckpoints(keras.callbacks.Callback):
    """Write ``history`` after every epoch, ``best_model`` when it is, and ``last_state``.

    The state is three times the size of the weights: where epochs are short it is written as often as takes a
    twentieth of the time, and always after the last epoch. The state before is kept beside it.

    Args:
        folder: The experiment.
        family: What is trained.
        monitor: Column of the history that decides which weights are best.
        larger_is_better: Direction of the monitored value.
        early_stopping: Its state is saved with the weights.
        resumed: Counters of the training that is taken up.

    Attributes:
        epoch_on_disk: Epochs that the state on disk has seen.
    """

    def __init__(
        self,
        folder: ExperimentFolder,
        family: ModelFamily,
        monitor: str = "val_loss",
        larger_is_better: bool = False,
        early_stopping: DelayedEarlyStopping | None = None,
        resumed: Checkpoint | None = None,
    ):
        super().__init__()
        self._folder = folder
        self._family = family
        self._monitor = monitor
        self._sign = -1.0 if larger_is_better else 1.0
        self._early_stopping = early_stopping
        resumed = resumed or Checkpoint()
        self._training = resumed.training
        self._best = resumed.monitored
        self._next_state = 0.0
        self._epochs = self.epoch_on_disk = resumed.epoch
        self._rows = _rows_until(folder.history, resumed.epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the files; the best weights only when they are."""
        self._epochs = epoch + 1
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self._rows.append({"epoch": epoch + 1, **logs})
        write_history(self._folder.history, self._rows)
        value = logs.get(self._monitor, math.nan)
        improved = self._best is None or self._sign * value < self._sign * self._best
        if improved and math.isfinite(value):
            self._best = value
            save_checkpoint(self._folder.best_model, self._family, self.checkpoint, with_state=False)
        if self.is_last(epoch) or time.monotonic() >= self._next_state:
            self.write_state()

    def is_last(self, epoch: int) -> bool:
        """Tell whether training ends with this epoch."""
        return bool(self.model.stop_training) or epoch + 1 == (self.params or {}).get("epochs")

    @property
    def is_up_to_date(self) -> bool:
        """Whether the state on disk is that of the last epoch that ended."""
        return self.epoch_on_disk == self._epochs

    def write_state(self) -> None:
        """Write the state after the epoch that ended last, unless it is on disk; call it between epochs only."""
        if self.is_up_to_date:
            return
        start, folder = time.monotonic(), self._folder
        save_checkpoint(
            folder.last_state, self._family, self.checkpoint, with_state=True, previous=folder.previous_state
        )
        end = time.monotonic()
        self._next_state = end + (end - start) / _SHARE_OF_TIME
        self.epoch_on_disk = self._epochs

    @property
    def checkpoint(self) -> Checkpoint:
        """Counters after the epoch that ended last."""
        stopping = self._early_stopping
        state = {} if stopping is None else stopping.state | {"stopped": bool(self.model.stop_training)}
        return Checkpoint(self._epochs, self._best, state, self._training)


def write_history(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write one line per epoch."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, stream.getvalue())


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read what :func:`write_history` wrote; nothing when there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _rows_until(path: Path, epoch: int) -> list[dict[str, Any]]:
    try:
        return [row for row in read_history(path) if int(row["epoch"]) <= epoch]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ExperimentError(
            f"{path} is no history of a training ({error!r}). Move it away; training goes on without it."
        ) from error
