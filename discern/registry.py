"""Closed name tables: what a configuration file may name, and where it is found.

A name from a file is only ever looked up here; it never reaches ``import_module`` or ``getattr`` itself.
Modules are imported on first use, so that the tables cost nothing.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from discern.errors import MissingParameterError, ParametersError, UnknownNameError


@dataclass(frozen=True)
class Entry:
    """Where an object is found, and which arguments a configuration gives it.

    Attributes:
        target: ``module:object``.
        arguments: Arguments a configuration may give.
        required: Those of them it must give.
    """

    target: str
    arguments: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    def load(self) -> Any:
        """Import and return the object."""
        module, name = self.target.split(":")
        return getattr(import_module(module), name)


@dataclass(frozen=True)
class Registry:
    """A closed table of names of one kind.

    Attributes:
        kind: What the names are, for messages.
        entries: Name to entry.
        prefixes: Dotted prefixes of older files that are dropped before the look-up.
        aliases: Other spellings, without prefix.
    """

    kind: str
    entries: Mapping[str, Entry]
    prefixes: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def canonical(self, name: str) -> str:
        """Return the name as the table spells it.

        Raises:
            UnknownNameError: The name is in the table under no spelling.
        """
        short = name
        for prefix in sorted(self.prefixes, key=len, reverse=True):
            if name.startswith(prefix):
                short = name.removeprefix(prefix)
                break
        short = self.aliases.get(short, short)
        if short in self.entries:
            return short
        close = difflib.get_close_matches(short, self.entries, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UnknownNameError(f"unknown {self.kind} '{name}'.{hint} Known: {', '.join(self.entries)}")

    def get(self, name: str) -> Any:
        """Return the object itself (imports its module)."""
        return self.entries[self.canonical(name)].load()

    def check_arguments(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Refuse arguments the object does not take, lacks, or cannot compute with.

        Every value is a number, a boolean, null or a list of numbers; an object made by the program passes too.

        Raises:
            MissingParameterError: A required argument is absent.
            ParametersError: An argument is unknown (the message suggests the nearest) or of another type.
        """
        entry = self.entries[self.canonical(name)]
        known = entry.arguments
        faults = []
        for argument in arguments:
            if argument not in known:
                close = difflib.get_close_matches(argument, known, n=1)
                faults.append(f"'{argument}'" + (f" (did you mean '{close[0]}'?)" if close else ""))
        if faults:
            allowed = ", ".join(known) or "none"
            raise ParametersError(f"{self.kind} '{name}' does not take {', '.join(faults)}. It takes: {allowed}")
        missing = [f"'{argument}'" for argument in entry.required if argument not in arguments]
        if missing:
            raise MissingParameterError(f"{self.kind} '{name}' needs {', '.join(missing)}")
        for argument, value in arguments.items():
            if not _is_computable(value):
                raise ParametersError(
                    f"'{argument}' of {self.kind} '{name}' must be a number, true, false, null or a list of numbers; "
                    f"received {value!r}"
                )

    def build(self, name: str, /, **arguments: Any) -> Any:
        """Return the object called with ``arguments`` after checking them.

        Raises:
            UnknownNameError: The name is unknown.
            ParametersError: The object cannot be built from the arguments.
        """
        self.check_arguments(name, arguments)
        build = self.get(name)
        try:
            return build(**arguments)
        except (TypeError, ValueError) as error:
            raise ParametersError(f"{self.kind} '{name}' cannot be built from {arguments}: {error}") from error


def _is_computable(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(one, int | float) for one in value)
    return not isinstance(value, str | bytes | Mapping)


def _plain(module: str, *names: str) -> dict[str, Entry]:
    return {name: Entry(f"{module}:{name}") for name in names}


ACTIVATIONS = Registry(
    "activation",
    _plain(
        "keras.activations",
        *("mish", "relu", "gelu", "silu", "elu", "selu", "celu", "leaky_relu", "relu6", "softplus", "softsign"),
        *("sigmoid", "hard_sigmoid", "hard_silu", "tanh", "hard_tanh", "tanh_shrink", "soft_shrink", "hard_shrink"),
        *("squareplus", "log_sigmoid", "exponential", "linear", "softmax", "log_softmax", "sparsemax", "glu"),
    ),
    prefixes=("tensorflow_addons.activations.", "tensorflow.keras.activations.", "tf.keras.activations.",
              "keras.activations.", "tensorflow.nn.", "tf.nn."),
    aliases={"swish": "silu", "hard_swish": "hard_silu"},
)  # fmt: skip

OUTPUT_FUNCTIONS = Registry(
    "output function",
    {
        "softmax": Entry("discern.layers.output_functions:softmax_expression"),
        "LSN": Entry("discern.layers.output_functions:lsn_expression"),
        "sigsoftmax": Entry("discern.layers.output_functions:sigsoftmax_expression"),
        **{name: entry for name, entry in ACTIVATIONS.entries.items() if name not in {"softmax", "glu"}},
    },
    prefixes=ACTIVATIONS.prefixes,
    aliases=ACTIVATIONS.aliases,
)

NORMALISATIONS = Registry(
    "normalisation",
    {
        "conditionallayernorm": Entry("discern.layers.normalisation:conditional_layer_norm"),
        "layernorm": Entry("discern.layers.normalisation:layer_norm"),
        "conditionalbatchnorm": Entry("discern.layers.normalisation:conditional_batch_norm"),
        "batchnorm": Entry("discern.layers.normalisation:batch_norm"),
    },
)

RECONSTRUCTION_LOSSES = Registry(
    "reconstruction loss",
    {
        "HuberLoss": Entry("discern.losses.huber:HuberLoss", ("delta",)),
        "Lnorm": Entry("discern.losses.lnorm:Lnorm", ("p", "axis", "use_root", "epsilon"), ("p",)),
        **_plain("keras.losses", "MeanSquaredError", "MeanAbsoluteError", "MeanSquaredLogarithmicError", "LogCosh",
                 "Poisson", "CosineSimilarity"),
        "Huber": Entry("keras.losses:Huber", ("delta",)),
    },
    prefixes=("discern.estimators.losses.", "tensorflow.keras.losses.", "tf.keras.losses.", "keras.losses."),
)  # fmt: skip

REGULARIZERS = Registry(
    "regularizer",
    {
        "L1L2": Entry("keras.regularizers:L1L2", ("l1", "l2")),
        "L1": Entry("keras.regularizers:L1", ("l1",)),
        "L2": Entry("keras.regularizers:L2", ("l2",)),
    },
    prefixes=("tensorflow.keras.regularizers.", "tf.keras.regularizers.", "keras.regularizers."),
    aliases={"l1_l2": "L1L2", "l1": "L1", "l2": "L2"},
)

_EVERY_OPTIMIZER = ("learning_rate", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum",
                    "ema_overwrite_frequency", "gradient_accumulation_steps")  # fmt: skip
_ADAM = (*_EVERY_OPTIMIZER, "beta_1", "beta_2", "epsilon")

OPTIMIZERS = Registry(
    "optimizer",
    {
        "RectifiedAdam": Entry(
            "discern.optimizers.rectified_adam:RectifiedAdam",
            (*_ADAM, "amsgrad", "sma_threshold", "total_steps", "warmup_proportion", "min_lr", "degenerated_to_sgd"),
        ),
        "Adam": Entry("keras.optimizers:Adam", (*_ADAM, "amsgrad")),
        "AdamW": Entry("keras.optimizers:AdamW", (*_ADAM, "amsgrad")),
        "Nadam": Entry("keras.optimizers:Nadam", _ADAM),
        "Adamax": Entry("keras.optimizers:Adamax", _ADAM),
        "SGD": Entry("keras.optimizers:SGD", (*_EVERY_OPTIMIZER, "momentum", "nesterov")),
        "RMSprop": Entry("keras.optimizers:RMSprop", (*_EVERY_OPTIMIZER, "rho", "momentum", "epsilon", "centered")),
        "Adagrad": Entry("keras.optimizers:Adagrad", (*_EVERY_OPTIMIZER, "initial_accumulator_value", "epsilon")),
        "Adadelta": Entry("keras.optimizers:Adadelta", (*_EVERY_OPTIMIZER, "rho", "epsilon")),
        "Lion": Entry("keras.optimizers:Lion", (*_EVERY_OPTIMIZER, "beta_1", "beta_2")),
    },
    prefixes=(
        "tensorflow_addons.optimizers.",
        "tensorflow.keras.optimizers.",
        "tf.keras.optimizers.",
        "keras.optimizers.",
    ),
)

# A schedule starts at the optimizer's learning rate, so initial_learning_rate is not required of a configuration.
LEARNING_RATE_SCHEDULES = Registry(
    "learning rate schedule",
    {
        "ExponentialDecay": Entry(
            "keras.optimizers.schedules:ExponentialDecay",
            ("initial_learning_rate", "decay_steps", "decay_rate", "staircase"),
            ("decay_steps", "decay_rate"),
        ),
        "InverseTimeDecay": Entry(
            "keras.optimizers.schedules:InverseTimeDecay",
            ("initial_learning_rate", "decay_steps", "decay_rate", "staircase"),
            ("decay_steps", "decay_rate"),
        ),
        "PolynomialDecay": Entry(
            "keras.optimizers.schedules:PolynomialDecay",
            ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle"),
            ("decay_steps",),
        ),
        "PiecewiseConstantDecay": Entry(
            "keras.optimizers.schedules:PiecewiseConstantDecay", ("boundaries", "values"), ("boundaries", "values")
        ),
        "CosineDecay": Entry(
            "keras.optimizers.schedules:CosineDecay",
            ("initial_learning_rate", "decay_steps", "alpha", "warmup_target", "warmup_steps"),
            ("decay_steps",),
        ),
        "CosineDecayRestarts": Entry(
            "keras.optimizers.schedules:CosineDecayRestarts",
            ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha"),
            ("first_decay_steps",),
        ),
    },
    prefixes=(
        "tensorflow.keras.optimizers.schedules.",
        "tf.keras.optimizers.schedules.",
        "keras.optimizers.schedules.",
    ),
)

DISTRIBUTIONS = Registry(
    "distribution",
    _plain(
        "discern.tuning.named_distributions",
        *("uniform", "quniform", "loguniform", "qloguniform", "normal", "qnormal", "lognormal", "qlognormal"),
        *("randint", "uniformint", "qrandint", "lograndint", "choice", "grid_search"),
    ),
    prefixes=("hyperopt.hp.", "hp.", "ray.tune.", "tune."),
    aliases={"randn": "normal", "qrandn": "qnormal"},
)

SCHEDULERS = Registry(
    "scheduler",
    {
        "ASHA": Entry("discern.tuning.schedulers:ASHAConfig"),
        "HyperBand": Entry("discern.tuning.schedulers:HyperBandConfig"),
        "median": Entry("discern.tuning.schedulers:MedianStoppingConfig"),
        "FIFO": Entry("discern.tuning.schedulers:FIFOConfig"),
        "PopulationBasedTraining": Entry("discern.tuning.schedulers:PopulationConfig"),
    },
    prefixes=("ray.tune.schedulers.", "tune.schedulers."),
    aliases={
        **dict.fromkeys(("AsyncHyperBandScheduler", "AsyncHyperBand", "ASHAScheduler", "asha"), "ASHA"),
        **dict.fromkeys(("HyperBandScheduler", "hyperband"), "HyperBand"),
        **dict.fromkeys(("MedianStoppingRule", "median_stopping_rule"), "median"),
        **dict.fromkeys(("FIFOScheduler", "fifo"), "FIFO"),
        **dict.fromkeys(("PBT", "pbt"), "PopulationBasedTraining"),
    },
)

SEARCHERS = Registry(
    "searcher",
    {
        "HyperOpt": Entry("discern.tuning.tree_estimators:HyperOptConfig"),
        "Optuna": Entry("discern.tuning.tree_estimators:OptunaConfig"),
        "random": Entry("discern.tuning.searchers:RandomConfig"),
        "grid": Entry("discern.tuning.searchers:GridConfig"),
    },
    prefixes=(
        *(
            "ray.tune.suggest.hyperopt.",
            "ray.tune.suggest.optuna.",
            "ray.tune.suggest.basic_variant.",
            "ray.tune.suggest.",
        ),
        *("ray.tune.search.hyperopt.", "ray.tune.search.optuna.", "ray.tune.search.basic_variant.", "ray.tune.search."),
    ),
    aliases={
        **dict.fromkeys(("HyperOptSearch", "hyperopt"), "HyperOpt"),
        **dict.fromkeys(("OptunaSearch", "optuna"), "Optuna"),
        "BasicVariantGenerator": "random",
    },
)
