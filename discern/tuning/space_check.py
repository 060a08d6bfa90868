"""Whether parameters with values of a search space are valid: asked before any trial starts."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from discern.config.experiment import ExperimentConfig
from discern.config_section import validate_section
from discern.errors import ParametersError, counted
from discern.tuning.distributions import Choice
from discern.tuning.search_space import Leaf, SearchSpace

_N_RANDOM = 16
_AT_MOST = 20  # faults told
_NOT_SEARCHED = {
    ("input_ds",): "the data are processed once, before the search",
    ("hyperparameter_search",): "it names a search file",
    ("training", "max_steps"): "trials are compared after equal numbers of epochs; the scheduler and 'stop' end them",
    ("training", "parallel_pc"): "resources_per_trial.cpu sets the threads of a trial",
    ("training", "GPU"): "resources_per_trial.gpu sets the GPU of a trial",
    ("training", "tensorboard"): "it does not change the model",
    ("training", "umap_every"): "it does not change the model",
    ("training", "early_stopping", "monitor"): "the reported loss would have another meaning in every trial",
    ("training", "early_stopping", "mode"): "the reported loss would have another meaning in every trial",
    ("training", "early_stopping", "baseline"): "the reported loss would have another meaning in every trial",
}


def check_space(
    space: SearchSpace, content: Mapping[str, Any], source: str = "hyperparameter_search.json", seed: int = 0
) -> None:
    """Refuse a space with a key that no experiment has or that is not to be searched, or with impossible values.

    Every hyperparameter is tried alone at its smallest, middle and largest value (every one of a choice), then all
    of them together at these and at random values.

    Args:
        space: The search space.
        content: The valid experiment that is searched, as in parameters.json; left as it is.
        source: Name of the search file, for messages.
        seed: Drives the random samples.

    Raises:
        ParametersError: The space is impossible; the message lists all faults with their paths in the search file.
    """
    faults = [told for leaf in space.leaves for told in _refusals(leaf)]
    if not faults:
        faults = [told for leaf in space.leaves for told in _faults(SearchSpace((leaf,)), content, _alone(leaf))]
    if not faults:
        faults = _faults(space, content, _together(space, np.random.default_rng(seed)))
    faults = list({fault.partition(" (received ")[0]: fault for fault in reversed(faults)}.values())[::-1]
    if faults:
        entries = counted(len(faults), "invalid entry", "invalid entries")
        left = [f"… and {len(faults) - _AT_MOST} more"] if len(faults) > _AT_MOST else []
        raise ParametersError("\n  ".join([f"{source} has {entries}:", *faults[:_AT_MOST], *left]))


def _refusals(leaf: Leaf) -> list[str]:
    return [
        f"search_space.{leaf.key}: cannot be searched: {reason}"
        for path, reason in _NOT_SEARCHED.items()
        if leaf.path[: len(path)] == path
    ]


def _alone(leaf: Leaf) -> Iterator[dict[str, Any]]:
    values = leaf.distribution
    for value in values.options if isinstance(values, Choice) else map(values.at, (0.0, 0.5, 1.0)):
        yield {leaf.name: value}


def _together(space: SearchSpace, generator: np.random.Generator) -> Iterator[dict[str, Any]]:
    for quantile in (0.5, 0.0, 1.0):
        yield space.at(dict.fromkeys(space.names, quantile))
    for _ in range(_N_RANDOM):
        yield space.draw(generator)


def _faults(space: SearchSpace, content: Mapping[str, Any], samples: Iterator[dict[str, Any]]) -> list[str]:
    """Return what the schema of parameters.json says against the experiment with any of the samples."""
    found: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on old spellings, which reading the parameters has told
        for sample in samples:
            try:
                applied = space.apply(content, sample)
                validate_section(ExperimentConfig, applied, prefix="search_space")
            except ParametersError as error:
                first, *entries = str(error).split("\n  ")
                found += entries or [first]
    return found
