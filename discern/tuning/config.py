"""hyperparameter_search.json as frozen, strict configuration classes."""

import difflib
import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from discern.config_section import ConfigSection, also_found, validate_section
from discern.errors import ParametersError, UnknownNameError
from discern.io.json_files import read_json
from discern.registry import SCHEDULERS, SEARCHERS, Registry
from discern.tuning.metrics import Aim, Mode, Reported, metric, require_direction
from discern.tuning.published_search import present_search
from discern.tuning.schedulers import ASHAConfig
from discern.tuning.search_space import SearchSpace, parse_space
from discern.tuning.searchers import RandomConfig

_LEAF_SCHEMA = {
    "type": "object",
    "description": "keys of one experiment of parameters.json; an object {type, name, args} is a hyperparameter",
}


def named_section(table: Registry) -> Any:
    """Return the type of a section that its ``name`` chooses from a table; a name alone will do.

    Args:
        table: Configuration classes by name.
    """

    def validate(section: Any, _of_the_union: Any) -> Any:
        given = {"name": section} if isinstance(section, str) else section
        if not isinstance(given, Mapping):
            return _fault_at((), f"give the name of a {table.kind}, or an object with its 'name'", section)
        name = given.get("name")
        if name is None:
            return _fault_at(("name",), f"a {table.kind} needs a 'name'. Known: {', '.join(table.entries)}", {})
        try:
            canonical = table.canonical(str(name))
        except UnknownNameError as error:
            return _fault_at(("name",), str(error), name)
        chosen = table.get(canonical)
        try:
            return chosen.model_validate({**given, "name": canonical})
        except ValidationError as error:
            faults = [_of_section(detail, chosen) for detail in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(canonical, faults) from error

    sections = tuple(table.get(name) for name in table.entries)
    return Annotated[Union[sections], WrapValidator(validate)]  # noqa: UP007 - built at run time


class SetupConfig(ConfigSection):
    """Where trials run.

    Attributes:
        address: ``host:port`` of a Ray cluster, ``auto`` for one on this machine; null starts Ray for this search only.
        num_cpus: CPUs of a Ray started for this search; null: those available.
        num_gpus: Its GPUs; null: those visible.
        logging_level: What Ray logs.
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
                _custom((str(name),), fault, {}) for name, one in stop.items() if (fault := _not_to_stop_at(name, one))
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


class SearchConfig(ConfigSection):
    """A hyperparameter search.

    Attributes:
        setup: Where trials run.
        scheduler: Which trials go on.
        searcher: Which sample is tried next.
        train_spec: How many trials there are, and when one ends.
        search_space: Objects ``{type, name, args}`` below keys of an experiment of parameters.json.
        analysis: Which trial is best.
    """

    setup: SetupConfig = SetupConfig()
    scheduler: named_section(SCHEDULERS) = ASHAConfig()  # type: ignore[valid-type]
    searcher: named_section(SEARCHERS) = RandomConfig()  # type: ignore[valid-type]
    train_spec: TrainSpec = TrainSpec()
    search_space: Annotated[dict[str, Any], WithJsonSchema(_LEAF_SCHEMA)]
    analysis: AnalysisConfig = AnalysisConfig()

    @field_validator("search_space")
    @classmethod
    def _hyperparameters(cls, content: dict[str, Any]) -> dict[str, Any]:
        _, found = parse_space(content)
        if found:
            faults = [_custom(path, message, received) for path, message, received in found]
            raise ValidationError.from_exception_data("search_space", faults)
        return content

    @model_validator(mode="after")
    def _parts_agree(self) -> "SearchConfig":
        for section in (self.scheduler, self.searcher):
            require_direction(section.metric or self.analysis.metric, section.mode)
        self.searcher.require_suitable(self.space)
        return self

    @property
    def space(self) -> SearchSpace:
        """The hyperparameters."""
        return parse_space(self.search_space)[0]

    @property
    def scheduled_metric(self) -> str:
        """What the scheduler compares."""
        return str(self.scheduler.metric or self.analysis.metric)

    @property
    def searched_metric(self) -> str:
        """What the searcher learns from."""
        return str(self.searcher.metric or self.analysis.metric)

    @property
    def metrics(self) -> frozenset[str]:
        """Everything that trials must report."""
        aims = {self.analysis.metric, self.scheduled_metric, self.searched_metric, self.scheduler.time_attr}
        return frozenset({*aims, *self.train_spec.stop, *self.train_spec.config.report})

    @property
    def n_trials(self) -> int:
        """Number of trials: num_samples, times the combinations of a grid."""
        return self.train_spec.num_samples * self.space.n_combinations

    def with_changes(self, changes: Mapping[str, Mapping[str, Any]]) -> "SearchConfig":
        """Return this search with other values of some sections, validated.

        Args:
            changes: ``{section: {key: value}}``.

        Raises:
            ParametersError: The values are invalid.
        """
        content = json.loads(self.model_dump_json())
        merged = {**content, **{section: {**content[section], **values} for section, values in changes.items()}}
        return validate_section(SearchConfig, merged, source="the search")


def read_search(path: Path) -> SearchConfig:
    """Read a search file. What was corrected in it, and what makes little sense, is a warning.

    Raises:
        ParametersError: The file is absent, no JSON, or has invalid entries (all are listed).
    """
    return search_config(read_json(path), str(path))


def search_config(content: Mapping[str, Any], source: str = "hyperparameter_search.json") -> SearchConfig:
    """Validate a search given as a dictionary, which is left unchanged; warns as :func:`read_search` does.

    Raises:
        ParametersError: It has invalid entries.
    """
    try:
        present, notes = present_search(content)
    except RecursionError as error:
        raise ParametersError(f"{source} is nested too deeply.") from error
    for note in notes:
        warnings.warn(f"{source}: {note}", UserWarning, stacklevel=2)
    search = validate_section(SearchConfig, present, source=source)
    weights = [leaf.key for leaf in search.space.leaves if leaf.shapes_loss]
    if weights and "loss" in {search.analysis.metric, search.scheduled_metric, search.searched_metric}:
        warnings.warn(
            f"{source}: 'loss' is weighed by {', '.join(weights)}, which the search varies: losses of trials cannot be "
            "compared. Aim at 'mmd', 'auc' or an unweighted term of the loss instead.",
            UserWarning,
            stacklevel=2,
        )
    return search


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


def _custom(path: tuple[str, ...], message: str, received: Any) -> InitErrorDetails:
    told = PydanticCustomError("search", "{fault}", {"fault": message})
    return InitErrorDetails(type=told, loc=path, input=received)


def _fault_at(path: tuple[str, ...], message: str, received: Any) -> Any:
    raise ValidationError.from_exception_data("section", [_custom(path, message, received)])


def _of_section(detail: ErrorDetails, section: type[ConfigSection]) -> InitErrorDetails:
    """Return a fault of the chosen class; unknown keys are compared with its own keys only."""
    if detail["type"] != "extra_forbidden":
        return also_found(detail)
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
    hint = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(known)}."
    return _custom(tuple(map(str, detail["loc"])), f"unknown key. {hint}", {})
