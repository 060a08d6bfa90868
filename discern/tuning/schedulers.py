"""Which trials go on: the ``scheduler`` section of a search file, one class for every scheduler of Ray Tune."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from discern.errors import ParametersError
from discern.tuning.aims import AimingSection
from discern.tuning.distributions import Choice
from discern.tuning.search_space import Leaf, SearchSpace

TimeAttribute = Literal["training_iteration", "epochs", "seconds", "time_total_s"]
Factor = Annotated[float, Field(ge=1.1)]  # the nearer to 1, the more rungs
_FIXED_WHILE_TRAINING = {
    *("name", "latent_dim", "layers", "norm_type", "activation_fn", "output_fn", "algorithm", "Lookahead", "amsgrad"),
    *("seed", "batch_size", "use_ema", "gradient_accumulation_steps", "precision", "deterministic", "XLA"),
}


class SchedulerConfig(AimingSection):
    """What all schedulers have in common.

    Attributes:
        time_attr: The reported number that tells how far a trial has come.
    """

    time_attr: TimeAttribute = "training_iteration"

    def build(self, metric: str, mode: str, space: SearchSpace, seed: int) -> Any:
        """Return the scheduler of Ray Tune.

        Args:
            metric: What it compares.
            mode: Which direction is better.
            space: What the search varies.
            seed: Drives random draws.

        Raises:
            ParametersError: It cannot be built.
        """
        from ray.tune import error, schedulers

        try:
            return self._build(schedulers, {"metric": metric, "mode": mode, "time_attr": self.time_attr}, space, seed)
        except (AssertionError, ArithmeticError, TypeError, ValueError, error.TuneError) as refused:
            raise ParametersError(f"scheduler cannot be built: {refused}") from refused

    @abstractmethod
    def _build(self, schedulers: Any, aim: dict[str, Any], space: SearchSpace, seed: int) -> Any: ...


class ASHAConfig(SchedulerConfig):
    """Asynchronous successive halving: at every rung the worse trials end.

    Attributes:
        max_t: Trials end after so much time.
        grace_period: No trial ends earlier.
        reduction_factor: One of so many trials passes a rung.
        brackets: Groups of trials with different first rungs.
        stop_last_trials: A trial ends at ``max_t``.

    Source:
        Li et al. 2020, Proceedings of Machine Learning and Systems 2.
    """

    name: Literal["ASHA"] = "ASHA"
    max_t: PositiveFloat = 100
    grace_period: PositiveFloat = 1
    reduction_factor: Factor = 4
    brackets: int = Field(default=1, ge=1, le=100)
    stop_last_trials: bool = True

    @model_validator(mode="after")
    def _grace_within_time(self) -> "ASHAConfig":
        if self.grace_period > self.max_t:
            raise ValueError(f"grace_period {self.grace_period:g} is longer than max_t {self.max_t:g}")
        return self

    def _build(self, schedulers: Any, aim: dict[str, Any], space: SearchSpace, seed: int) -> Any:
        arguments = self.model_dump(
            include={"max_t", "grace_period", "reduction_factor", "brackets", "stop_last_trials"}
        )
        return schedulers.AsyncHyperBandScheduler(**aim, **arguments)


class HyperBandConfig(SchedulerConfig):
    """HyperBand: brackets of trials that are paused and compared together.

    Attributes:
        max_t: Trials end after so much time.
        reduction_factor: One of so many trials goes on.
        stop_last_trials: A trial ends at ``max_t``.

    Source:
        Li et al. 2018, Journal of Machine Learning Research 18(185).
    """

    name: Literal["HyperBand"] = "HyperBand"
    max_t: PositiveInt = 81
    reduction_factor: Factor = 3
    stop_last_trials: bool = True

    def _build(self, schedulers: Any, aim: dict[str, Any], space: SearchSpace, seed: int) -> Any:
        arguments = self.model_dump(include={"max_t", "reduction_factor", "stop_last_trials"})
        return schedulers.HyperBandScheduler(**aim, **arguments)


class MedianStoppingConfig(SchedulerConfig):
    """A trial ends when its best value is worse than the median of the others' averages.

    Attributes:
        grace_period: No trial ends earlier.
        min_samples_required: Other trials needed for a median.
        min_time_slice: A trial runs as long at a time before it may be paused.
        hard_stop: End such a trial; false pauses it.

    Source:
        Golovin et al. 2017, KDD, 1487.
    """

    name: Literal["median"] = "median"
    grace_period: NonNegativeFloat = 1
    min_samples_required: PositiveInt = 3
    min_time_slice: NonNegativeFloat = 0
    hard_stop: bool = True

    def _build(self, schedulers: Any, aim: dict[str, Any], space: SearchSpace, seed: int) -> Any:
        arguments = self.model_dump(include={"grace_period", "min_samples_required", "min_time_slice", "hard_stop"})
        return schedulers.MedianStoppingRule(**aim, **arguments)


class FIFOConfig(SchedulerConfig):
    """Every trial runs to its end."""

    name: Literal["FIFO"] = "FIFO"

    def _build(self, schedulers: Any, aim: dict[str, Any], space: SearchSpace, seed: int) -> Any:
        return schedulers.FIFOScheduler()


class PopulationConfig(SchedulerConfig):
    """Population-based training: bad trials take over weights and hyperparameters of good ones and vary the latter.

    Hyperparameters that decide what weights there are (``latent_dim``, ``layers``, …) are taken over and not varied.

    Attributes:
        perturbation_interval: Time between two such exchanges.
        burn_in_period: Time before the first.
        quantile_fraction: Share of trials that count as good, and as bad.
        resample_probability: How often a value is drawn anew instead of being varied.
        perturbation_factors: A varied number is multiplied by one of these.
        synch: All trials wait for one another.

    Source:
        Jaderberg et al. 2017, arXiv:1711.09846.
    """

    name: Literal["PopulationBasedTraining"] = "PopulationBasedTraining"
    perturbation_interval: PositiveFloat = 1
    burn_in_period: NonNegativeFloat = 0
    quantile_fraction: float = Field(default=0.25, ge=0.0, le=0.5)
    resample_probability: float = Field(default=0.25, ge=0.0, le=1.0)
    perturbation_factors: list[PositiveFloat] = Field(default=[1.2, 0.8], min_length=2, max_length=2)
    synch: bool = False

    def _build(self, schedulers: Any, aim: dict[str, Any], space: SearchSpace, seed: int) -> Any:
        generator = np.random.default_rng(seed)
        varied = [leaf for leaf in space.leaves if is_varied_while_training(leaf)]
        if not varied:
            raise ValueError("no hyperparameter of the search space can change while a model is trained")
        return schedulers.PopulationBasedTraining(
            **aim,
            **self.model_dump(
                include={
                    "perturbation_interval",
                    "burn_in_period",
                    "quantile_fraction",
                    "resample_probability",
                    "synch",
                }
            ),
            perturbation_factors=tuple(self.perturbation_factors),
            hyperparam_mutations={leaf.name: _mutation(leaf, generator) for leaf in varied},
            custom_explore_fn=_Explored(space),
        )


class _Explored:
    """Takes varied hyperparameters back into the search space."""

    def __init__(self, space: SearchSpace):
        self._space = space

    def __call__(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Return the nearest sample of the space; further entries stay."""
        known = {name: sample[name] for name in self._space.names}
        return {**sample, **self._space.nearest(known)}


def is_varied_while_training(leaf: Leaf) -> bool:
    """Tell whether a model can go on with its weights when this hyperparameter changes."""
    words = {word for key in leaf.path for word in (key, key.removeprefix("enc_"), key.removeprefix("dec_"))}
    return not words & _FIXED_WHILE_TRAINING and leaf.path[:1] in {("model",), ("training",)}


def _mutation(leaf: Leaf, generator: np.random.Generator) -> list[Any] | Callable[[], Any]:
    if isinstance(leaf.distribution, Choice):
        return list(leaf.distribution.options)
    return lambda: leaf.distribution.at(generator.random())
