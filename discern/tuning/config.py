"""hyperparameter_search.json as a whole: one frozen, strict configuration class."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError, WithJsonSchema, field_validator, model_validator

from discern.config_section import ConfigSection, validate_section
from discern.errors import ParametersError
from discern.io.json_files import read_json
from discern.registry import SCHEDULERS, SEARCHERS
from discern.tuning.metrics import require_direction
from discern.tuning.named_section import fault_at, named_section
from discern.tuning.published_search import present_search
from discern.tuning.schedulers import ASHAConfig
from discern.tuning.search_sections import AnalysisConfig, SetupConfig, TrainSpec
from discern.tuning.search_space import SearchSpace, parse_space
from discern.tuning.searchers import RandomConfig

_LEAF_SCHEMA = {
    "type": "object",
    "description": "keys of one experiment of parameters.json; an object {type, name, args} is a hyperparameter",
}


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
            faults = [fault_at(path, message, received) for path, message, received in found]
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
        json.dumps(content, ensure_ascii=False, allow_nan=False, default=str).encode()
        present, notes = present_search(content)
    except RecursionError as error:
        raise ParametersError(f"{source} is nested too deeply.") from error
    except UnicodeEncodeError as error:
        raise ParametersError(
            f"{source} holds half a character: {error.object[error.start]!r}. Write it anew."
        ) from error
    except ValueError as error:  # only of a dictionary; NaN in a file is no JSON
        raise ParametersError(f"{source} holds what is no JSON: {error}.") from error
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
