"""Which sample is tried next: the ``searcher`` section of a search file, one class for every way to search.

A proposal follows from the seed, the number of samples proposed before and their results, and from nothing else: a
search that was interrupted goes on as it would have gone on.
"""

import copy
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from discern.errors import OptionalDependencyError, ParametersError
from discern.tuning.aims import AimingSection
from discern.tuning.distributions import Choice
from discern.tuning.search_space import Leaf, SearchSpace

Sample = Mapping[str, Any]
_BETWEEN = "value"  # name of a hyperparameter in optuna and hyperopt: this and its place in the space


@dataclass(frozen=True)
class Experience:
    """What a search knows when it proposes a sample.

    Attributes:
        number: How many samples were proposed before.
        finished: Samples with their value, the smaller the better; None for those that failed.
        running: Samples without a result yet.
    """

    number: int
    finished: Sequence[tuple[Sample, float | None]] = ()
    running: Sequence[Sample] = ()

    @property
    def judged(self) -> list[tuple[Sample, float]]:
        """Finished samples that have a value."""
        return [(sample, value) for sample, value in self.finished if value is not None]


class SearcherConfig(AimingSection):
    """What all searchers have in common.

    Attributes:
        max_concurrent: Trials that run at the same time at most; null: as many as the resources allow.
        seed: Drives all draws.
    """

    max_concurrent: PositiveInt | None = None
    seed: int = Field(default=0, ge=0, lt=2**31)

    @abstractmethod
    def propose(self, space: SearchSpace, experience: Experience, seed: int) -> dict[str, Any]:
        """Return the next sample.

        Raises:
            OptionalDependencyError: The package that searches is not installed.
        """

    def require_suitable(self, space: SearchSpace) -> None:
        """Refuse a space that cannot be searched this way.

        Raises:
            ParametersError: Its hyperparameters are of a kind that another searcher is for.
        """
        if space.grid:
            raise ParametersError(
                f"searcher: 'grid_search' of {', '.join(space.grid)} tries every value. "
                "Use 'choice' instead, or the searcher 'grid' or 'random'."
            )


class _DrawnConfig(SearcherConfig):
    """Random samples; hyperparameters of the type ``grid_search`` take every combination in turn."""

    def propose(self, space: SearchSpace, experience: Experience, seed: int) -> dict[str, Any]:
        """Return the next sample: the last ``grid_search`` of the space changes fastest."""
        sample = space.draw(generator(seed, experience.number))
        rest = experience.number
        for name, options in reversed(space.grid.items()):
            rest, place = divmod(rest, len(options))
            sample[name] = copy.deepcopy(options[place])
        return sample


class RandomConfig(_DrawnConfig):
    """Random samples; of hyperparameters of the type ``grid_search`` every combination is tried num_samples times."""

    name: Literal["random"] = "random"

    def require_suitable(self, space: SearchSpace) -> None:
        """Accept every space."""


class GridConfig(_DrawnConfig):
    """Every combination of the hyperparameters of the type ``grid_search``; others are drawn."""

    name: Literal["grid"] = "grid"

    def require_suitable(self, space: SearchSpace) -> None:
        """Refuse a space without ``grid_search``."""
        if not space.grid:
            raise ParametersError(
                "searcher: 'grid' needs hyperparameters of the type 'grid_search'. Use 'random' instead."
            )


class OptunaConfig(SearcherConfig):
    """Tree-structured Parzen estimators as in Optuna.

    Attributes:
        n_startup_trials: Results before which samples are random.
        n_ei_candidates: Samples from which the most promising one is taken.
        multivariate: Look at all hyperparameters together.

    Source:
        Akiba et al. 2019, KDD, 2623.
    """

    name: Literal["Optuna"] = "Optuna"
    n_startup_trials: NonNegativeInt = 10
    n_ei_candidates: PositiveInt = 24
    multivariate: bool = False

    def propose(self, space: SearchSpace, experience: Experience, seed: int) -> dict[str, Any]:
        """Return the next sample; running ones are taken for bad, so that their neighbourhood is not tried twice."""
        optuna = _optuna()
        study = optuna.create_study(direction="minimize", sampler=self._sampler(optuna, seed, experience.number))
        unit = {name: _optuna_values(optuna, leaf) for name, leaf in _numbered(space)}
        done, runs = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.RUNNING
        states = [(sample, value, done) for sample, value in experience.judged]
        for sample, value, state in [*states, *((sample, None, runs) for sample in experience.running)]:
            place = _to_unit(space, sample)
            study.add_trial(optuna.trial.create_trial(state=state, value=value, params=place, distributions=unit))
        return _from_unit(space, study.ask(unit).params)

    def _sampler(self, optuna: Any, seed: int, number: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that arguments are experimental
            return optuna.samplers.TPESampler(
                n_startup_trials=self.n_startup_trials,
                n_ei_candidates=self.n_ei_candidates,
                multivariate=self.multivariate,
                constant_liar=True,
                seed=seed_of(seed, number),
            )


class HyperOptConfig(SearcherConfig):
    """Tree-structured Parzen estimators as in HyperOpt.

    Attributes:
        n_initial_points: Samples before which samples are random.
        n_candidates: Samples from which the most promising one is taken.
        gamma: The square root of the number of trials times this many count as good.

    Source:
        Bergstra et al. 2013, ICML, PMLR 28(1):115.
    """

    name: Literal["HyperOpt"] = "HyperOpt"
    n_initial_points: NonNegativeInt = 20
    n_candidates: PositiveInt = 24
    gamma: float = Field(default=0.25, gt=0.0, le=1.0)

    def propose(self, space: SearchSpace, experience: Experience, seed: int) -> dict[str, Any]:
        """Return the next sample; running ones are taken for bad."""
        hyperopt = _hyperopt()
        expressions = {name: _hyperopt_values(hyperopt, name, leaf) for name, leaf in _numbered(space)}
        known = [*experience.judged, *((sample, None) for sample in experience.running)]
        (proposed,) = hyperopt.tpe.suggest(
            [len(known)],
            hyperopt.Domain(lambda point: point, expressions),
            _hyperopt_trials(hyperopt, [(_to_unit(space, sample), value) for sample, value in known]),
            seed_of(seed, experience.number),
            n_startup_jobs=self.n_initial_points,
            n_EI_candidates=self.n_candidates,
            gamma=self.gamma,
            verbose=False,
        )
        return _from_unit(space, {name: values[0] for name, values in proposed["misc"]["vals"].items()})


def seed_of(seed: int, number: int) -> int:
    """Return the seed of one proposal, below 2^31."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)


def generator(seed: int, number: int) -> np.random.Generator:
    """Return the random numbers of one proposal."""
    return np.random.default_rng([seed, number])


def _numbered(space: SearchSpace) -> list[tuple[str, Leaf]]:
    """Return the hyperparameters under names that no library minds."""
    return [(f"{_BETWEEN}{number}", leaf) for number, leaf in enumerate(space.leaves)]


def _to_unit(space: SearchSpace, sample: Sample) -> dict[str, float | int]:
    """Return the quantiles of a sample, and the places of options."""
    quantiles = space.quantiles(sample)
    unit: dict[str, float | int] = {}
    for name, leaf in _numbered(space):
        values, quantile = leaf.distribution, quantiles[leaf.name]
        unit[name] = int(quantile * len(values.options)) if isinstance(values, Choice) else quantile
    return unit


def _from_unit(space: SearchSpace, unit: Mapping[str, float | int]) -> dict[str, Any]:
    """Return the sample of quantiles and places of options."""
    quantiles = {}
    for name, leaf in _numbered(space):
        values, place = leaf.distribution, float(unit[name])
        quantiles[leaf.name] = (place + 0.5) / len(values.options) if isinstance(values, Choice) else place
    return space.at(quantiles)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as absent:
        raise OptionalDependencyError("The searcher 'Optuna' needs a package. Run: pip install optuna") from absent
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every study
    return optuna


def _optuna_values(optuna: Any, leaf: Leaf) -> Any:
    if isinstance(leaf.distribution, Choice):
        return optuna.distributions.CategoricalDistribution(range(len(leaf.distribution.options)))
    return optuna.distributions.FloatDistribution(0.0, 1.0)


def _hyperopt() -> Any:
    try:
        import hyperopt  # type: ignore[import-untyped]
    except ImportError as absent:
        raise OptionalDependencyError("The searcher 'HyperOpt' needs a package. Run: pip install hyperopt") from absent
    return hyperopt


def _hyperopt_values(hyperopt: Any, name: str, leaf: Leaf) -> Any:
    if isinstance(leaf.distribution, Choice):
        return hyperopt.hp.randint(name, len(leaf.distribution.options))
    return hyperopt.hp.uniform(name, 0.0, 1.0)


def _hyperopt_trials(hyperopt: Any, known: Sequence[tuple[Mapping[str, float | int], float | None]]) -> Any:
    """Return trials as hyperopt keeps them; those without a value run."""
    trials = hyperopt.Trials()
    numbers = range(len(known))
    results = [{"status": "new"} if value is None else {"status": "ok", "loss": value} for _, value in known]
    described = [
        {
            "tid": number,
            "cmd": None,
            "idxs": {name: [number] for name in place},
            "vals": {name: [value] for name, value in place.items()},
        }
        for number, (place, _) in enumerate(known)
    ]
    documents = trials.new_trial_docs(numbers, [None] * len(known), results, described)
    for document, (_, value) in zip(documents, known, strict=True):
        document["state"] = hyperopt.JOB_STATE_RUNNING if value is None else hyperopt.JOB_STATE_DONE
    trials.insert_trial_docs(documents)
    trials.refresh()
    return trials
