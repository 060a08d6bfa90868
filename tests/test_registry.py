import inspect
import json

import keras
import pytest

from discern import registry
from discern.errors import MissingParameterError, ParametersError, UnknownNameError
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
    assert len(TABLES) == 10


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


@pytest.mark.parametrize(("table", "name"), WITH_ARGUMENTS)
def test_required_arguments_are_those_without_default(table, name):
    parameters = inspect.signature(TABLES[table].get(name)).parameters.values()
    needed = {one.name for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD}
    assert set(TABLES[table].entries[name].required) == needed - {"initial_learning_rate"}


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


def test_absent_arguments_are_errors():
    with pytest.raises(MissingParameterError, match="^reconstruction loss 'Lnorm' needs 'p'$"):
        RECONSTRUCTION_LOSSES.check_arguments("Lnorm", {"axis": 0})
    with pytest.raises(MissingParameterError, match="needs 'boundaries', 'values'"):
        LEARNING_RATE_SCHEDULES.build("PiecewiseConstantDecay")


@pytest.mark.parametrize("value", ["9", {"a": 1}, ["1", 2.0], [[1.0]]])
def test_values_of_another_type_are_errors(value):
    with pytest.raises(ParametersError, match="'delta' of reconstruction loss 'HuberLoss' must be a number.*received"):
        RECONSTRUCTION_LOSSES.check_arguments("HuberLoss", {"delta": value})


@pytest.mark.parametrize("value", [9, 9.0, True, None, [1, 2.0], []])
def test_numbers_booleans_null_and_lists_of_numbers_pass(value):
    RECONSTRUCTION_LOSSES.check_arguments("HuberLoss", {"delta": value})


@pytest.mark.parametrize(
    ("table", "name", "arguments"),
    [
        (OPTIMIZERS, "SGD", {"momentum": 2.0}),
        (LEARNING_RATE_SCHEDULES, "PiecewiseConstantDecay", {"boundaries": [1], "values": [0.1]}),
        (LEARNING_RATE_SCHEDULES, "CosineDecay", {"decay_steps": 3}),
    ],
)
def test_what_a_constructor_refuses_is_an_error_with_its_name(table, name, arguments):
    with pytest.raises(ParametersError, match=f"{table.kind} '{name}' cannot be built from .*{next(iter(arguments))}"):
        table.build(name, **arguments)
