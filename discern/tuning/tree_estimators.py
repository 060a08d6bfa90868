"""Searchers that learn from finished trials: tree-structured Parzen estimators of two libraries."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from discern.errors import OptionalDependencyError
from discern.tuning.distributions import Choice
from discern.tuning.search_space import Leaf, SearchSpace
from discern.tuning.searchers import Experience, SearcherConfig, seed_of
from discern.tuning.unit_interval import from_unit, numbered, to_unit


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

    def require_installed(self) -> None:
        """Refuse to search without Optuna."""
        _optuna()

    def propose(self, space: SearchSpace, experience: Experience, seed: int) -> dict[str, Any]:
        """Return the next sample; running ones are taken for bad, so that their neighbourhood is not tried twice."""
        optuna = _optuna()
        study = optuna.create_study(direction="minimize", sampler=self._sampler(optuna, seed, experience.number))
        unit = {name: _optuna_values(optuna, leaf) for name, leaf in numbered(space)}
        done, runs = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.RUNNING
        states = [(sample, value, done) for sample, value in experience.judged]
        for sample, value, state in [*states, *((sample, None, runs) for sample in experience.running)]:
            place = to_unit(space, sample)
            study.add_trial(optuna.trial.create_trial(state=state, value=value, params=place, distributions=unit))
        return from_unit(space, study.ask(unit).params)

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

    def require_installed(self) -> None:
        """Refuse to search without HyperOpt."""
        _hyperopt()

    def propose(self, space: SearchSpace, experience: Experience, seed: int) -> dict[str, Any]:
        """Return the next sample; running ones are taken for bad."""
        hyperopt = _hyperopt()
        expressions = {name: _hyperopt_values(hyperopt, name, leaf) for name, leaf in numbered(space)}
        known = [*experience.judged, *((sample, None) for sample in experience.running)]
        (proposed,) = hyperopt.tpe.suggest(
            [len(known)],
            hyperopt.Domain(lambda point: point, expressions),
            _hyperopt_trials(hyperopt, [(to_unit(space, sample), value) for sample, value in known]),
            seed_of(seed, experience.number),
            n_startup_jobs=self.n_initial_points,
            n_EI_candidates=self.n_candidates,
            gamma=self.gamma,
            verbose=False,
        )
        return from_unit(space, {name: values[0] for name, values in proposed["misc"]["vals"].items()})


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
        import hyperopt
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
