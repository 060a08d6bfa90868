import inspect
import json

import keras
import pytest

from discern import registry
from discern.errors import ParametersError, UnknownNameError
from discern.registry import (
    ACTIVATIONS,
    LEARNING_RATE_SCHEDULES,
    OPTIMIZERS,
    OUTPUT_FUNCTIONS,
    RECONSTRUCTION_LOSSES,
    REGULARIZERS,
    Registry,
)

TABLES = {name: table for name, table in vars(registry).items() if isinstance(table, Registry)}
ENTRIES = [(table, name) for table in TABLES for name in TABLES[table].entries]
WITH_ARGUMENTS = [
    (table, name) for table, name in ENTRIES
    if TABLES[table] in (OPTIMIZERS, LEARNING_RATE_SCHEDULES, REGULARIZERS, RECONSTRUCTION_LOSSES)
]  # fmt: skip
# What belongs to the program, not to a parameters file.
NOT_CONFIGURABLE = {"self", "name", "args", "kwargs", "reduction", "dtype", "loss_scale_factor"}


def parameters_of(cls):
    """Parameter names of a constructor, and of its parents' where it hands **kwargs on."""
    names = dict(inspect.signature(cls).parameters)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in names.values()):
        for parent in cls.__mro__:
            names |= inspect.signature(parent.__init__).parameters
    return set(names)


def test_all_tables_are_found():
    assert len(TABLES) == 7


@pytest.mark.parametrize(("table", "name"), ENTRIES)
def test_every_entry_loads(table, name):
    assert callable(TABLES[table].get(name))


@pytest.mark.parametrize("table", TABLES)
def test_every_alias_and_prefix_resolves(table):
    entries = TABLES[table]
    for alias, name in entries.aliases.items():
        assert entries.canonical(alias) == name
    for prefix in entries.prefixes:
        for name in entries.entries:
            assert entries.canonical(prefix + name) == name


@pytest.mark.parametrize(("table", "name"), WITH_ARGUMENTS)
def test_arguments_are_those_of_the_constructor(table, name):
    listed = set(TABLES[table].entries[name].arguments)
    real = parameters_of(TABLES[table].get(name))
    assert listed <= real
    left_out = {"CosineSimilarity": {"axis"}}.get(name, set())
    assert real - NOT_CONFIGURABLE - left_out <= listed


def test_published_spellings_resolve(golden_dir):
    experiment = json.loads((golden_dir / "published_parameters.json").read_text())["experiments"]["default_experiment"]
    model, training = experiment["model"], experiment["training"]
    assert ACTIVATIONS.get(model["activation_fn"]) is keras.activations.mish
    regularizer = dict(model["conditional_regularization"])
    assert REGULARIZERS.get(regularizer.pop("name")) is keras.regularizers.L1L2
    REGULARIZERS.check_arguments("L1L2", regularizer)
    loss = dict(model["reconstruction_loss"])
    assert RECONSTRUCTION_LOSSES.canonical(loss["name"]) == "HuberLoss"
    RECONSTRUCTION_LOSSES.check_arguments(loss.pop("name"), loss)
    optimizer = dict(training["optimizer"])
    assert OPTIMIZERS.canonical(optimizer["algorithm"]) == "RectifiedAdam"
    OPTIMIZERS.check_arguments(optimizer.pop("algorithm"), optimizer)
    for kind in model["norm_type"]:
        assert registry.NORMALISATIONS.canonical(kind) == kind


def test_published_search_names_known_output_functions(golden_dir):
    search = json.loads((golden_dir / "published_hyperparameter_search.json").read_text())
    for name in search["search_space"]["model"]["output_fn"]["args"][0]:
        assert OUTPUT_FUNCTIONS.canonical(name) == name


@pytest.mark.parametrize("table", TABLES)
def test_unknown_names_are_errors_with_a_suggestion(table):
    name = next(iter(TABLES[table].entries))
    with pytest.raises(UnknownNameError, match=f"Did you mean '{name}'"):
        TABLES[table].get(name + "x")
    with pytest.raises(KeyError, match="Known: "):
        TABLES[table].get("os.system")


def test_unknown_arguments_are_errors_with_a_suggestion():
    with pytest.raises(ParametersError, match=r"'detla' \(did you mean 'delta'\?\)"):
        RECONSTRUCTION_LOSSES.check_arguments("HuberLoss", {"detla": 9.0})
    with pytest.raises(ParametersError, match="It takes: none"):
        RECONSTRUCTION_LOSSES.build("MeanSquaredError", delta=9.0)
    with pytest.raises(ParametersError, match=r"'beta1' \(did you mean 'beta_1'\?\), 'zzz'"):
        OPTIMIZERS.check_arguments("RectifiedAdam", {"beta1": 0.9, "zzz": 1, "beta_2": 0.9})
