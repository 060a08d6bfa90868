"""DISCERN as a family: what it adds to the networks."""

from dataclasses import replace

import numpy as np
import pytest

from discern.errors import ParametersError
from discern.io.transform import InputTransform
from discern.layers.mmdpp import mmdpp_penalty
from discern.models.contract import DataDescription
from discern.models.wae.config import WAEConfig
from discern.models.wae.family import WAEFamily
from discern.models.wae.objective import WAEObjective
from discern.optimizers.build import build_optimizer
from discern.scaling import GeneScaling

SCALING = GeneScaling(np.array([1.0, 2.0, 0.5], np.float32), np.array([0.5, 1.0, 2.0], np.float32))


def make(scaling=SCALING, library_size=1000.0, **model):
    config = WAEConfig.model_validate({"layers": [4], "latent_dim": 2} | model)
    transform = InputTransform(library_size, True, scaling)
    return WAEFamily(config, DataDescription(3, ("a", "b"), 10, transform))


def test_decoded_expression_is_unscaled_and_not_negative():
    family = make()
    latent, labels = np.random.default_rng(0).normal(size=(50, 2)) * 5, np.eye(2)[[0, 1] * 25]
    scaled, probability = family.decoder.predict_on_batch([latent, labels])
    decoded = family.decode(latent, labels)
    expected = scaled * SCALING.std + SCALING.mean
    assert (expected < 0).any()
    np.testing.assert_allclose(decoded.expression, np.maximum(expected, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(decoded.probability, probability)


def test_zeros_of_the_loss_are_the_scaled_zero_counts():
    """The dropout head of the published program learned P(count > 0) ≈ 1, as nobody had told it what a zero is."""
    family = make()
    family.compile(build_optimizer("Adam", 1e-3, {}), jit_compile=False)
    zero_counts = InputTransform(1000.0, True, SCALING).zeros(3)[None]
    targets = family.model.objective._dropouts.targets(np.concatenate([zero_counts, zero_counts + 0.1]))
    np.testing.assert_allclose(targets, [[0.1] * 3, [1.0] * 3], rtol=1e-6)


def test_output_functions_get_the_library_size():
    family = make(scaling=None, output_fn="softmax", library_size=500.0)
    expression = family.decode(np.zeros((2, 2)), np.eye(2)).expression
    np.testing.assert_allclose(np.expm1(expression).sum(axis=1), 500.0, rtol=1e-4)


def test_an_output_function_without_library_size_is_refused():
    with pytest.raises(ParametersError, match=r"scale\.LSN"):
        make(library_size=None, output_fn="LSN")


def test_weights_of_the_loss():
    config = WAEConfig(wae_lambda=2.0, weighting_decoder_dropout=3.0, weighting_random_encoder=4.0)
    weights = WAEObjective(config, np.zeros(3)).weights
    expected = {"decoder_counts": 15000.0, "decoder_dropouts": 3.0, "mmdpp": 2.0, "sigma_regularization": 4.0}
    assert weights == expected
    assert WAEObjective(config, np.zeros(3), 7.0).weights == expected | {"decoder_counts": 7.0}


@pytest.mark.parametrize(("spread", "doubtful"), [(1.0, False), (0.5, False), (0.0, True), (1000.0, True)])
def test_codes_far_from_the_prior_are_doubted(spread, doubtful):
    rng = np.random.default_rng(0)
    codes, prior = (rng.normal(size=(300, 32)).astype(np.float32) for _ in range(2))
    distance = float(mmdpp_penalty(spread * codes, prior, np.full_like(codes, -10.0), 300.0, 32, seed=0))
    assert bool(make().doubts({"val_mmdpp_loss": distance})) is doubtful
    assert not make(wae_lambda=0.0).doubts({"val_mmdpp_loss": distance})
    assert not make().doubts({})


def test_batch_axes_are_those_of_the_conditional_layers():
    assert [variable.shape for variable in make(layers=[5, 4]).variables_with_batch_axis()] == [
        *((2, 5), (2, 4)),
        *((2, 4), (2, 5)),
    ]
    assert list(make(layers=[5], norm_type=["layernorm"]).variables_with_batch_axis()) == []


def test_a_second_model_in_one_process_has_the_same_names():
    first, second = make(), make()
    names = [weight.path for weight in first.model.weights]
    assert names == [weight.path for weight in second.model.weights]
    assert len(set(names)) == len(names)


def test_new_data_change_what_is_decoded():
    family = make()
    before = family.decode(np.ones((1, 2)), np.eye(2)[:1]).expression
    shifted = GeneScaling(SCALING.mean + 5, SCALING.std)
    family.data = replace(family.data, transform=InputTransform(1000.0, True, shifted))
    np.testing.assert_allclose(
        family.decode(np.ones((1, 2)), np.eye(2)[:1]).expression[before > 0], before[before > 0] + 5, rtol=1e-5
    )


def test_counts_are_hidden_from_the_encoder_in_training_only():
    both = {"layers": [4], "norm_type": ["conditionallayernorm"]}
    sides = {side: {**both, "regularization": 0.0} for side in ("encoder", "decoder")}
    plain = make(layers=[4], regularization=0.0)
    hiding = WAEFamily(
        WAEConfig.model_validate({"latent_dim": 2, **sides, "encoder": {**sides["encoder"], "hidden_counts": 0.9}}),
        plain.data,
    )
    hidden = hiding.encoder.get_layer("hidden_counts")
    np.testing.assert_array_equal(hidden.zeros, plain.data.transform.zeros(3))
    for mine, other in zip(hiding.model.trainable_variables, plain.model.trainable_variables, strict=True):
        mine.assign(other)
    cells, labels = (
        np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32),
        np.eye(2, dtype=np.float32)[[0, 1] * 10],
    )
    np.testing.assert_array_equal(hiding.encode(cells, labels).mean, plain.encode(cells, labels).mean)
    in_training = hiding.encoder([cells, labels], training=True)[0]
    assert (np.abs(np.asarray(in_training) - plain.encode(cells, labels).mean) > 1e-3).any()
    # what is to be reconstructed stays whole
    inputs, targets = hiding.model_input({"expression": cells, "batch": labels})
    np.testing.assert_array_equal(targets["decoder_counts"], cells)
