"""The keys of parameters.json that a search varies, and how a sample of their values becomes the parameters of a trial."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from discern.errors import ParametersError
from discern.registry import DISTRIBUTIONS
from discern.tuning.distributions import Choice, Distribution, occurs

_KEYS_OF_A_LEAF = ("type", "name", "args")
_LONGEST_NAME = 100
_DEEPEST = 10
_WORDS_OF_TERMS = ("lambda", "weight", "loss", "crossentropy", "conditional_regularization")

Fault = tuple[tuple[str, ...], str, Any]  # path in search_space, what is wrong, what was received


@dataclass(frozen=True)
class Leaf:
    """One hyperparameter.

    Attributes:
        path: Keys that lead to it in an experiment of parameters.json.
        name: Its name in samples and results.
        distribution: Its values.
    """

    path: tuple[str, ...]
    name: str
    distribution: Distribution

    @property
    def key(self) -> str:
        """The path in one piece, as messages write it."""
        return ".".join(self.path)

    @property
    def shapes_loss(self) -> bool:
        """Whether the loss is measured in another way when it changes: a weight, or an argument of a term."""
        of_a_term = any(word in self.key for word in _WORDS_OF_TERMS)
        return self.path[0] == "model" and of_a_term


@dataclass(frozen=True)
class SearchSpace:
    """All hyperparameters of a search. A sample of it is an object ``{name: value}``.

    Attributes:
        leaves: The hyperparameters in the order of the file.
    """

    leaves: tuple[Leaf, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the hyperparameters."""
        return tuple(leaf.name for leaf in self.leaves)

    @property
    def grid(self) -> dict[str, tuple[Any, ...]]:
        """The options, by name, of hyperparameters of which every option is tried."""
        choices = {leaf.name: leaf.distribution for leaf in self.leaves if isinstance(leaf.distribution, Choice)}
        return {name: choice.options for name, choice in choices.items() if choice.exhaustive}

    @property
    def n_combinations(self) -> int:
        """Number of combinations of these options; 1 without any."""
        return math.prod(map(len, self.grid.values()))

    def at(self, quantiles: Mapping[str, float]) -> dict[str, Any]:
        """Return the sample at the quantile of every name."""
        return {leaf.name: copy.deepcopy(leaf.distribution.at(quantiles[leaf.name])) for leaf in self.leaves}

    def quantiles(self, sample: Mapping[str, Any]) -> dict[str, float]:
        """Return the quantile of every value of a sample."""
        return {leaf.name: leaf.distribution.quantile(sample[leaf.name]) for leaf in self.leaves}

    def draw(self, generator: np.random.Generator) -> dict[str, Any]:
        """Return a random sample."""
        return self.at({leaf.name: generator.random() for leaf in self.leaves})

    def nearest(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sample of the space that is nearest to one that may lie outside."""
        return self.at(self.quantiles(sample))

    def values_in(self, *contents: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that an experiment has, by name, of the hyperparameters whose value occurs in the space.

        Args:
            *contents: The experiment in several forms, e.g. as written and with its defaults; the first with a key counts.
        """
        found: dict[str, Any] = {}
        for leaf in self.leaves:
            present = [value for content in contents for value in _values_at(content, leaf.path)]
            if present and occurs(leaf.distribution, present[0]):
                found[leaf.name] = copy.deepcopy(present[0])
        return found

    def apply(self, content: Mapping[str, Any], sample: Mapping[str, Any]) -> dict[str, Any]:
        """Return an experiment with the values of a sample in place of its own.

        Args:
            content: The experiment as in parameters.json; left as it is.
            sample: ``{name: value}``; names that the space does not know are passed over.

        Raises:
            ParametersError: A key of the space lies below something that is no object in the experiment.
        """
        applied: dict[str, Any] = copy.deepcopy(dict(content))
        for leaf in self.leaves:
            if leaf.name in sample:
                _put(applied, leaf, copy.deepcopy(sample[leaf.name]))
        return applied


def parse_space(content: Mapping[str, Any]) -> tuple[SearchSpace, list[Fault]]:
    """Return the search space of a section ``search_space``, and every fault found in it.

    Args:
        content: Objects ``{type, name, args}`` below keys of an experiment of parameters.json.
    """
    leaves: list[Leaf] = []
    faults: list[Fault] = []
    _collect((), content, leaves, faults)
    first_with: dict[str, Leaf] = {}
    for leaf in leaves:
        other = first_with.setdefault(leaf.name, leaf)
        if other is not leaf:
            faults.append((leaf.path, f"the name '{leaf.name}' is also that of {other.key}; names must differ", {}))
    if not leaves and not faults:
        faults.append(((), "names no hyperparameter; give an object {type, name, args} for one at least", {}))
    return SearchSpace(tuple(leaves)), faults


def _collect(path: tuple[str, ...], node: Any, leaves: list[Leaf], faults: list[Fault]) -> None:
    if not isinstance(node, Mapping):
        faults.append((path, "give an object {type, name, args}, or keys of parameters.json with such objects", node))
    elif len(path) > _DEEPEST:
        faults.append((path, f"lies more than {_DEEPEST} keys deep", {}))
    elif path and ("type" in node or "args" in node):
        faults += [
            ((*path, str(key)), f"unknown key. Known: {', '.join(_KEYS_OF_A_LEAF)}", {})
            for key in node
            if key not in _KEYS_OF_A_LEAF
        ]
        try:
            leaves.append(_leaf(path, node))
        except (ValueError, OverflowError) as error:
            faults.append((path, str(error), {}))
    else:
        if path and not node:
            faults.append((path, "is empty; leave it out or give an object {type, name, args}", {}))
        for key, inner in node.items():
            _collect((*path, str(key)), inner, leaves, faults)


def _leaf(path: tuple[str, ...], node: Mapping[str, Any]) -> Leaf:
    kind, name, arguments = node.get("type"), node.get("name", ".".join(path)), node.get("args")
    if not isinstance(kind, str):
        raise ValueError(f"'type' names a distribution: {', '.join(DISTRIBUTIONS.entries)} (received {kind!r:.100})")
    readable = isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable() and "/" not in name
    if not readable:
        raise ValueError(
            f"'name' is a text of up to {_LONGEST_NAME} printable characters without '/' (received {name!r:.100})"
        )
    if not isinstance(arguments, list):
        raise ValueError(f"'args' is the list of arguments of '{kind}' (received {arguments!r:.100})")
    build = DISTRIBUTIONS.get(kind)
    try:
        return Leaf(path, name, build(*arguments))
    except TypeError as error:
        raise ValueError(f"'{kind}' does not take these arguments: {error}".replace("()", "")) from error


def _values_at(content: Any, path: tuple[str, ...]) -> list[Any]:
    """Return what stands at a path, in a list; an empty one when nothing does."""
    for key in path:
        if not isinstance(content, Mapping) or key not in content:
            return []
        content = content[key]
    return [content]


def _put(content: dict[str, Any], leaf: Leaf, value: Any) -> None:
    """Set a value, making the objects on its way; a component given by name alone becomes an object first."""
    *way, last = leaf.path
    holder = content
    for depth, key in enumerate(way):
        inner = holder.setdefault(key, {})
        if isinstance(inner, str):
            inner = holder[key] = {"name": inner}
        if not isinstance(inner, dict):
            raise ParametersError(
                f"search_space.{leaf.key} cannot be set: {'.'.join(way[: depth + 1])} of the parameters is "
                f"{'null' if inner is None else repr(inner)}, no object. Give an object there, or search something else."
            )
        holder = inner
    holder[last] = value
