"""Networks whose products run in half precision train as those in float32 do, and leave nothing behind."""

import keras
import numpy as np
import pytest

from discern.layers.dense import ProductDense
from discern.training.checkpoints import Checkpoint, load_family, load_state, load_weights, save_checkpoint
from discern.training.config import TrainingConfig
from discern.training.fit import fit
from discern.training.precision import computing_in, optimizer_for
from discern.training.set_up import configured_optimizer

SETTINGS = {"batch_size": 16, "seed": 3}
LAYERS = {"layers": [32], "latent_dim": 4}
# RectifiedAdam's first steps are as long as the gradients, and what rounding changes there stays visible
STEADY = {"algorithm": "Adam", "learning_rate": 0.01}
HALF = ["mixed_bfloat16", "mixed_float16"]


@pytest.fixture(scope="module")
def data(make_data):
    return make_data(n_cells=200, n_valid=40)


@pytest.fixture(scope="module")
def build(data, make_family):
    def build(precision):
        config = TrainingConfig.model_validate({"precision": precision, "optimizer": STEADY})
        with computing_in(precision):
            return make_family(data, optimizer=configured_optimizer(config), seed=5, **LAYERS)

    return build


@pytest.fixture(scope="module")
def reference(data, build, sources_of):
    return fit(build("float32"), *sources_of(data), epochs=range(5), **SETTINGS).history


# the first steps of float16 are left out until the scale fits
@pytest.mark.parametrize(("precision", "rtol"), [("mixed_bfloat16", 0.002), ("mixed_float16", 0.03)])
def test_trains_as_float32_does(reference, precision, rtol, data, build, sources_of, tmp_path):
    family = build(precision)
    half = precision.removeprefix("mixed_")
    wide = [layer for side in (family.encoder, family.decoder) for layer in side.layers]
    of_products = {layer.name: layer.product_dtype for layer in wide if isinstance(layer, ProductDense)}
    names = ["encoder_0_dense", "decoder_0_dense", "decoder_scores", "decoder_dropouts"]
    assert of_products == dict.fromkeys(names, half)
    assert {output.dtype for output in family.model.outputs} == {"float32"}
    assert {variable.dtype for variable in family.model.trainable_variables} == {"float32"}

    history = fit(family, *sources_of(data), epochs=range(5), **SETTINGS).history
    assert history["val_loss"] != reference["val_loss"]  # it does round
    for term in ("val_loss", "val_decoder_counts_loss", "val_decoder_dropouts_loss"):
        np.testing.assert_allclose(history[term][-1], reference[term][-1], rtol=rtol, err_msg=term)
        assert history[term][-1] < (1 - 4 * rtol) * history[term][0]

    save_checkpoint(tmp_path / "model.hdf5", family, Checkpoint(), with_state=False)
    whole, _ = load_family(tmp_path / "model.hdf5")  # as projection does
    assert whole.decoder.get_layer("decoder_scores").product_dtype is None
    for mine, theirs in zip(whole.model.get_weights(), family.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.slow
def test_two_runs_give_the_bits_of_one(precision, data, build, sources_of, tmp_path):
    at_once = build(precision)
    whole = fit(at_once, *sources_of(data), epochs=range(4), **SETTINGS).history

    first, second = build(precision), build(precision)
    early = fit(first, *sources_of(data), epochs=range(2), **SETTINGS).history
    save_checkpoint(tmp_path / "state.hdf5", first, Checkpoint(2), with_state=True)
    load_weights(tmp_path / "state.hdf5", second.model)
    load_state(tmp_path / "state.hdf5", second.model)
    late = fit(second, *sources_of(data), epochs=range(2, 4), **SETTINGS).history

    assert {column: early[column] + late[column] for column in whole} == whole
    states = (family.model.get_weights() + family.model.optimizer.variables for family in (second, at_once))
    for mine, other in zip(*states, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(other))


@pytest.mark.slow
def test_bfloat16_takes_up_training_in_float32(data, build, sources_of, tmp_path):
    first, second = build("float32"), build("mixed_bfloat16")
    early = fit(first, *sources_of(data), epochs=range(2), **SETTINGS).history
    save_checkpoint(tmp_path / "state.hdf5", first, Checkpoint(2), with_state=True)
    load_weights(tmp_path / "state.hdf5", second.model)
    load_state(tmp_path / "state.hdf5", second.model)
    late = fit(second, *sources_of(data), epochs=range(2, 4), **SETTINGS).history
    assert late["val_loss"][-1] < early["val_loss"][-1]
    assert int(second.model.optimizer.iterations) == 2 * int(first.model.optimizer.iterations)


def test_only_float16_scales_the_loss():
    optimizer = keras.optimizers.Adam()
    assert optimizer_for("float32", optimizer) is optimizer_for("mixed_bfloat16", optimizer) is optimizer
    scaled = optimizer_for("mixed_float16", optimizer)
    assert (type(scaled).__name__, scaled.inner_optimizer) == ("ScaledLoss", optimizer)
    assert optimizer_for("mixed_float16", scaled) is scaled


def test_nothing_is_left_behind(build):
    build("mixed_bfloat16")
    with pytest.raises(KeyError), computing_in("mixed_bfloat16"):
        raise KeyError
    assert ProductDense(2).product_dtype is None
    assert keras.config.dtype_policy().name == "float32"
