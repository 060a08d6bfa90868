"""Every validation draws the same random numbers, and training draws as if there were no validation."""

import numpy as np
import pytest

from discern.io.cell_sources import MemorySource
from discern.optimizers.build import build_optimizer
from discern.training.checkpoints import random_states
from discern.training.fit import evaluate, fit

SETTINGS = {"batch_size": 16, "seed": 3}


def trained(data, make_family, sources, epochs=range(1)):
    family = make_family(data, eager=True, optimizer=build_optimizer("Adam", 1e-3, {}))
    return family, fit(family, *sources, epochs=epochs, **SETTINGS).history


@pytest.mark.parametrize("jit", [False, True])
def test_validations_of_the_same_weights_find_the_same_losses(data, make_family, sources_of, jit):
    family = make_family(data, jit=jit, optimizer=build_optimizer("Adam", 0.0, {}))
    history = fit(family, *sources_of(data), epochs=range(3), **SETTINGS).history
    assert len(set(history["mmdpp_loss"])) == 3  # training draws anew
    for name in ("val_loss", "val_mmdpp_loss"):
        assert len(set(history[name])) == 1, name


def test_losses_of_a_later_evaluation_are_those_of_the_training(data, make_family, sources_of):
    family, history = trained(data, make_family, sources_of(data))
    valid = sources_of(data)[1]
    before = [state.numpy() for state in random_states(family.model)]
    found = evaluate(family, valid, **SETTINGS)
    assert found == {name: values[-1] for name, values in history.items() if name.startswith("val_")}
    assert evaluate(family, valid, batch_size=16, seed=4)["val_mmdpp_loss"] != found["val_mmdpp_loss"]
    for state, value in zip(random_states(family.model), before, strict=True):
        np.testing.assert_array_equal(state.numpy(), value)


def test_training_does_not_depend_on_how_many_cells_are_validated(data, make_family, sources_of):
    """Weights are the same to the bit, although more minibatches of validation draw more often."""
    train, valid = sources_of(data)
    few = MemorySource(data, data.batches, data.cells_of("valid")[:10])
    weights = [
        trained(data, make_family, (train, chosen), epochs=range(2))[0].model.get_weights() for chosen in (valid, few)
    ]
    for mine, others in zip(*weights, strict=True):
        np.testing.assert_array_equal(mine, others)


def test_streams_draw_different_numbers(data, make_family, sources_of):
    """Of two streams that began alike, one would repeat the other."""
    family = make_family(data, eager=True)
    seen = []
    original = family.model.test_step

    def record(minibatch):
        seen.append([tuple(state.numpy()) for state in random_states(family.model)])
        return original(minibatch)

    family.model.test_step = record
    fit(family, *sources_of(data), epochs=range(1), **SETTINGS)
    assert len(seen[0]) > 1
    assert len(set(seen[0])) == len(seen[0])
