"""The smallest query: one cell to train on and one to validate on."""

import numpy as np
import pytest
import tensorflow as tf

from discern.losses.reconstruction import reconstruction_loss
from discern.optimizers.build import build_optimizer
from discern.registry import RECONSTRUCTION_LOSSES
from discern.training.fit import fit
from discern.training.precision import computing_in, optimizer_for

LNORMS = [
    {"p": p, "axis": axis, "use_root": root} for p in (1, 1.5, 2, 3) for axis in (0, -1) for root in (False, True)
]
OTHERS = [(name, {}) for name in RECONSTRUCTION_LOSSES.entries if name != "Lnorm"]
TRUE = np.array([[0.0, 1.0, 0.5, 2.0]], "float32")


@pytest.mark.parametrize("predicted", [TRUE, TRUE + 0.5, np.array([[0.5, 1.0, 0.5, 30.0]], "float32")])
@pytest.mark.parametrize(("name", "arguments"), [*(("Lnorm", one) for one in LNORMS), *OTHERS])
def test_losses_of_one_cell_and_their_gradients_are_finite(name, arguments, predicted):
    loss = reconstruction_loss({"name": name, **arguments})
    predicted = tf.constant(
        np.maximum(predicted, 0.1) if name in {"Poisson", "MeanSquaredLogarithmicError"} else predicted
    )
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        value = tf.reduce_mean(loss.call(TRUE, predicted))
    assert np.isfinite(float(value))
    assert np.isfinite(tape.gradient(value, predicted)).all()


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_fit(make_data, make_family, sources_of, precision):
    data = make_data(n_cells=2, n_genes=8, n_valid=1)
    optimizer = optimizer_for(precision, build_optimizer("RectifiedAdam", 1e-5, {"clipnorm": 1.0}))
    with computing_in(precision):
        family = make_family(data, layers=[4], optimizer=optimizer)
    before = family.model.get_weights()
    history = fit(family, *sources_of(data), batch_size=16, seed=0, epochs=range(4)).history
    assert np.isfinite(list(history.values())).all()
    after = family.model.get_weights()
    assert all(np.isfinite(weight).all() for weight in after)
    assert any((old != new).any() for old, new in zip(before, after, strict=True))
