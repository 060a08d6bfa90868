"""Every normalisation, activation, output function, loss, regularizer and optimizer a file can name trains."""

import itertools

import numpy as np
import pytest

from discern.io.minibatches import minibatches
from discern.io.published_cells import as_autoencoder_input
from discern.optimizers.build import build_optimizer
from discern.registry import (
    ACTIVATIONS,
    LEARNING_RATE_SCHEDULES,
    NORMALISATIONS,
    OPTIMIZERS,
    OUTPUT_FUNCTIONS,
    RECONSTRUCTION_LOSSES,
    REGULARIZERS,
)
from discern.training.config import TrainingConfig
from discern.training.set_up import configured_optimizer


def minibatches_of(data, sources):
    read = [minibatches(source, data.transform, batch_size=8).map(as_autoencoder_input) for source in sources]
    return data, [[(inputs, targets) for inputs, targets in one] for one in read]


@pytest.fixture(scope="module")
def scaled(make_data, sources_of):
    data = make_data(n_cells=24, n_genes=8, n_valid=8)
    return minibatches_of(data, sources_of(data))


@pytest.fixture(scope="module")
def unscaled(make_data, sources_of):
    data = make_data(n_cells=24, n_genes=8, n_valid=8, scaled=False)
    return minibatches_of(data, sources_of(data))


def trains(make_family, data_and_minibatches, optimizer=None, **arguments):
    """Train one epoch; every term is finite, some weight has moved; return the terms of the validation cells."""
    data, (train, valid) = data_and_minibatches
    optimizer = optimizer or build_optimizer("Adam", 1e-3, {})
    model = make_family(data, optimizer=optimizer, **{"eager": True, **arguments}).model
    before = model.get_weights()
    for inputs, targets in train:
        logs = model.train_on_batch(inputs, targets, return_dict=True)
        assert np.isfinite(list(logs.values())).all(), logs
    logs = model.test_on_batch(*valid[0], return_dict=True)
    assert len(logs) == 5
    assert np.isfinite(list(logs.values())).all(), logs
    after = model.get_weights()
    assert all(np.isfinite(weight).all() for weight in after)
    assert any((old != new).any() for old, new in zip(before, after, strict=True))
    return logs


@pytest.mark.parametrize("name", NORMALISATIONS.entries)
def test_normalisation(make_family, scaled, name):
    trains(make_family, scaled, layers=[6, 5], norm_type=[name, name])


def test_normalisations_can_be_mixed(make_family, scaled):
    trains(make_family, scaled, layers=[6, 5], norm_type=["conditionallayernorm", "batchnorm"])


HIDDEN = [name for name in ACTIVATIONS.entries if name != "glu"]  # glu halves the width
OUTPUTS = [None, *OUTPUT_FUNCTIONS.entries]


# one training for a pair of names: all of both tables in half the time
@pytest.mark.parametrize(("hidden", "output"), list(itertools.zip_longest(HIDDEN, OUTPUTS, fillvalue="linear")))
@pytest.mark.slow
def test_activation_and_output_function(make_family, unscaled, hidden, output):
    trains(make_family, unscaled, activation_fn=hidden, output_fn=output)


LOSSES = {
    "HuberLoss": [{}, {"delta": 9.0}],
    "Lnorm": [
        {"p": p, "axis": axis, "use_root": root, "epsilon": 1e-20}
        for p, root in ((1, False), (2, False), (2, True), (3, True), (1.5, True))
        for axis in (0, -1)
    ],
    "MeanSquaredError": [{}],
    "MeanAbsoluteError": [{}],
    "MeanSquaredLogarithmicError": [{}],
    "LogCosh": [{}],
    "Poisson": [{}],
    "CosineSimilarity": [{}],
    "Huber": [{"delta": 2.0}],
}


@pytest.mark.parametrize(("name", "arguments"), [(name, one) for name, given in LOSSES.items() for one in given])
def test_reconstruction_loss(make_family, scaled, unscaled, name, arguments):
    positive = name in {"Poisson", "MeanSquaredLogarithmicError"}  # defined for expression and rates above zero
    data = unscaled if positive else scaled
    model = {"reconstruction_loss": {"name": name, **arguments}, "output_fn": "softplus" if positive else None}
    trains(make_family, data, **model)


def test_a_loss_named_by_module_path(make_family, scaled):
    for name in ("tensorflow.keras.losses.MeanSquaredError", "discern.estimators.losses.HuberLoss"):
        trains(make_family, scaled, reconstruction_loss={"name": name})


@pytest.mark.parametrize("name", REGULARIZERS.entries)
def test_regularizer_adds_to_the_loss(make_family, scaled, name):
    key = "l1" if name == "L1" else "l2"
    logs = trains(make_family, scaled, layers=[6], conditional_regularization={"name": name, key: 1e6})
    weights = {"decoder_counts": 15000, "decoder_dropouts": 10000, "mmdpp": 1500, "sigma_regularization": 1e-8}
    terms = sum(weight * logs[f"{term}_loss"] for term, weight in weights.items())
    assert logs["loss"] > terms * 1.00001  # after two steps the shifts are no longer zero


OPTIMIZER_ARGUMENTS = {
    "RectifiedAdam": [
        {},
        {"amsgrad": True, "beta_1": 0.85, "beta_2": 0.95},
        {"weight_decay": 0.01},
        {"total_steps": 10, "warmup_proportion": 0.3, "min_lr": 1e-5},
        {"clipnorm": 1.0, "gradient_accumulation_steps": 2},
    ],
    "Adam": [{"amsgrad": True}],
    "AdamW": [{"weight_decay": 0.01}],
    "Nadam": [{}],
    "Adamax": [{}],
    "SGD": [{"momentum": 0.9, "nesterov": True, "global_clipnorm": 1.0}],
    "RMSprop": [{"centered": True}],
    "Adagrad": [{}],
    "Adadelta": [{}],
    "Lion": [{"use_ema": True}],
}


@pytest.mark.parametrize(
    ("name", "arguments"), [(name, one) for name, given in OPTIMIZER_ARGUMENTS.items() for one in given]
)
def test_optimizer(make_family, scaled, name, arguments):
    trains(make_family, scaled, optimizer=build_optimizer(name, 1e-3, arguments))


@pytest.mark.parametrize("name", ["RectifiedAdam", "SGD"])
def test_lookahead(make_family, scaled, name):
    trains(make_family, scaled, optimizer=build_optimizer(name, 1e-3, {}, lookahead=True))


SCHEDULES = {
    "ExponentialDecay": {"decay_steps": 2, "decay_rate": 0.5},
    "InverseTimeDecay": {"decay_steps": 2, "decay_rate": 0.5},
    "PolynomialDecay": {"decay_steps": 2},
    "PiecewiseConstantDecay": {"boundaries": [1, 2], "values": [1e-3, 1e-4, 1e-5]},
    "CosineDecay": {"decay_steps": 4},
    "CosineDecayRestarts": {"first_decay_steps": 3},
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_decay(make_family, scaled, name):
    optimizer = build_optimizer("Adam", 1e-3, {}, {"name": name, **SCHEDULES[name]})
    trains(make_family, scaled, optimizer=optimizer)
    assert float(optimizer.learning_rate) < 1e-3


def test_learning_decay_is_not_consumed_on_first_use(make_family, scaled):
    section = {"optimizer": {"algorithm": "Adam", "learning_decay": {"name": "CosineDecay", "decay_steps": 4}}}
    config = TrainingConfig.model_validate(section)
    for _ in range(2):
        optimizer = configured_optimizer(config)
        trains(make_family, scaled, optimizer=optimizer)
        assert float(optimizer.learning_rate) < 1e-3
    assert section["optimizer"]["learning_decay"] == {"name": "CosineDecay", "decay_steps": 4}


def test_no_name_is_forgotten():
    assert set(LOSSES) == set(RECONSTRUCTION_LOSSES.entries)
    assert set(OPTIMIZER_ARGUMENTS) == set(OPTIMIZERS.entries)
    assert set(SCHEDULES) == set(LEARNING_RATE_SCHEDULES.entries)


@pytest.mark.slow
def test_compiled_with_xla(make_family, unscaled):
    decay = {"name": "CosineDecay", "decay_steps": 4}
    optimizer = build_optimizer("RectifiedAdam", 1e-5, {"amsgrad": True, "weight_decay": 0.01}, decay, lookahead=True)
    loss = {"name": "Lnorm", "p": 2, "use_root": True}
    arguments = {"layers": [6, 5], "regularization": 0.4, "reconstruction_loss": loss, "output_fn": "LSN"}
    trains(make_family, unscaled, eager=False, jit=True, optimizer=optimizer, **arguments)
