"""Sections of a search file: where trials run, how many there are, how one is trained and judged, which is best."""

import math
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from discern.config_section import ConfigSection
from discern.tuning.metrics import Aim, Mode, Reported, metric, require_direction
from discern.tuning.named_section import fault_at


class SetupConfig(ConfigSection):
    """Where trials run.

    Attributes:
        address: ``host:port`` of a Ray cluster, ``auto`` for one on this machine; null starts Ray for this search only.
        num_cpus: CPUs of a Ray started for this search; null: those available.
        num_gpus: Its GPUs; null: those visible.
        logging_level: Messages of Ray in the process of the search are shown from this level on.
    """

    address: str | None = Field(default=None, min_length=1)
    num_cpus: PositiveInt | None = None
    num_gpus: NonNegativeInt | None = None
    logging_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "WARNING"

    @model_validator(mode="after")
    def _own_resources(self) -> "SetupConfig":
        if self.address is not None and (self.num_cpus is not None or self.num_gpus is not None):
            raise ValueError("num_cpus and num_gpus are for a Ray started here; the cluster at 'address' has its own")
        return self


class TrialResources(ConfigSection):
    """What one trial takes.

    Attributes:
        cpu: CPUs, and threads of its training.
        gpu: GPUs; a fraction shares one GPU among trials.
        extra_cpu: Further CPUs that are reserved for it.
        extra_gpu: Further GPUs that are reserved for it.
    """

    cpu: PositiveFloat = 1
    gpu: NonNegativeFloat = 0
    extra_cpu: NonNegativeFloat = 0
    extra_gpu: NonNegativeFloat = 0


class TrialConfig(ConfigSection):
    """How a trial is trained and judged.

    Attributes:
        epochs_per_timestep: Epochs of one step; after each the trial reports.
        validation_batches: Minibatches of cells at most that are projected for ``mmd`` and ``auc``.
        batch_to_check: Batches that ``mmd`` and ``auc`` are measured for; null: every batch.
        report: Metrics to measure besides those the search needs.
    """

    epochs_per_timestep: PositiveInt = 1
    validation_batches: PositiveInt | None = None
    batch_to_check: list[str] | None = Field(default=None, min_length=1)
    report: list[Reported] = []

    @field_validator("batch_to_check", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class TrainSpec(ConfigSection):
    """How many trials there are, and when one ends.

    Attributes:
        name: Name of the search, for Ray.
        resources_per_trial: What one trial takes.
        num_samples: Trials; with hyperparameters of the type ``grid_search``: trials of each of their combinations.
        stop: A trial ends as soon as a reported number reaches its threshold or exceeds it, or a switch is true.
        config: How a trial is trained and judged.
        max_failures: How often a trial that died is begun again from its last state; -1: always.
        checkpoint_at_end: Accepted for published files; the state of a trial is kept in any case.
        time_budget_s: Seconds after which no further trial starts and running ones end.
    """

    name: str = Field(default="discern", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
    resources_per_trial: TrialResources = TrialResources()
    num_samples: PositiveInt = 10
    stop: dict[str, float | bool] = {}
    config: TrialConfig = TrialConfig()
    max_failures: int = Field(default=3, ge=-1)
    checkpoint_at_end: bool = False
    time_budget_s: PositiveFloat | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _thresholds(cls, stop: Any) -> Any:
        if isinstance(stop, dict):
            faults = [
                fault_at((str(name),), fault, {}) for name, one in stop.items() if (fault := _not_to_stop_at(name, one))
            ]
            if faults:
                raise ValidationError.from_exception_data("stop", faults)
        return stop


class AnalysisConfig(ConfigSection):
    """Which trial is best.

    Attributes:
        metric: The reported number that decides.
        mode: ``min`` or ``max``; null takes the direction that is better.
    """

    metric: Aim = "loss"
    mode: Mode | None = None

    @model_validator(mode="after")
    def _the_better_direction(self) -> "AnalysisConfig":
        require_direction(self.metric, self.mode)
        return self


def _not_to_stop_at(name: Any, threshold: Any) -> str | None:
    """Return what is wrong with a threshold, or None."""
    try:
        is_switch = metric(str(name)).is_switch
    except ValueError as error:
        return str(error)
    if is_switch:
        return (
            None if threshold is True else f"is true or false; give true, or leave it out (received {threshold!r:.100})"
        )
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool) and abs(threshold) < math.inf
    return None if is_number else f"is a number; give a threshold (received {threshold!r:.100})"
