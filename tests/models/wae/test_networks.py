"""Encoder, decoder and whole model against a slow NumPy version, and their names."""

import keras
import numpy as np
import pytest

from discern.models.wae.networks import create_decoder, create_encoder, create_model

RNG = np.random.default_rng(0)


def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def normalised(x):
    return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-3)


def randomise(model):
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])


def hidden_by_hand(cells, labels, weights):
    for dense, shift in zip(weights[::2], weights[1::2], strict=True):
        cells = mish(normalised(cells @ dense) + labels @ shift)
    return cells


@pytest.fixture(scope="module")
def encoder():
    model = create_encoder(3, [6, 5], ["conditionallayernorm"] * 2, "mish", 7, 2, 0.5)
    randomise(model)
    return model


@pytest.fixture(scope="module")
def decoder():
    model = create_decoder(3, 7, [5, 6], ["conditionallayernorm"] * 2, "mish", None, 2, 0.0)
    randomise(model)
    return model


def test_encoder_by_hand(encoder):
    cells, labels = RNG.normal(size=(4, 7)), np.array([[1, 0], [0, 1], [0.5, 0.5], [0.25, 0.75]])
    latent, log_std = encoder.predict_on_batch([cells, labels])
    *body, kernel, bias, kernel_std, bias_std = encoder.get_weights()
    hidden = hidden_by_hand(cells, labels, body)
    np.testing.assert_allclose(latent, hidden @ kernel + bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_std, hidden @ kernel_std + bias_std, rtol=1e-4, atol=1e-5)


def test_decoder_by_hand(decoder):
    latent, labels = RNG.normal(size=(4, 3)), np.array([[1, 0], [0, 1], [0.5, 0.5], [0.25, 0.75]])
    counts, dropouts = decoder.predict_on_batch([latent, labels])
    *body, kernel, bias, kernel_drop, bias_drop = decoder.get_weights()
    hidden = hidden_by_hand(latent, labels, body)
    np.testing.assert_allclose(counts, hidden @ kernel + bias, rtol=1e-4, atol=1e-5)
    expected = 1 / (1 + np.exp(-(hidden @ kernel_drop + bias_drop)))
    np.testing.assert_allclose(dropouts, expected, rtol=1e-4, atol=1e-5)


def test_new_weights_are_the_published_ones():
    encoder = create_encoder(4, [400], ["conditionallayernorm"], "mish", 500, 3, 0.0, seed=0)
    dense, shift, latent, latent_bias, sigma, sigma_bias = encoder.get_weights()
    assert dense.std() == pytest.approx(np.sqrt(2 / 500), rel=0.02)  # he_normal
    assert not shift.any()
    assert not latent_bias.any()
    assert (sigma_bias == -10).all()
    assert sigma.std() == pytest.approx(np.sqrt(2 / 400), rel=0.1)


def test_names_of_inputs_and_outputs(encoder, decoder):
    model = create_model(encoder, decoder, 100)
    assert [one.name for one in encoder.inputs] == ["encoder_input", "encoder_labels"]
    assert [one.name for one in decoder.inputs] == ["decoder_input", "decoder_labels"]
    assert [one.name for one in model.inputs] == ["input_data", "batch_input_enc", "batch_input_dec"]
    assert list(model.output) == ["decoder_counts", "decoder_dropouts", "mmdpp", "sigma_regularization"]
    assert (model.name, encoder.name, decoder.name) == ("WAE", "encoder", "decoder")
    assert {"latent", "sigma_enc"} <= {layer.name for layer in encoder.layers}
    assert model.get_layer("mmdpp").scale == 100


def test_inference_does_not_draw_and_training_does(encoder, decoder):
    model = create_model(encoder, decoder, 100, seed=1)
    inputs = [RNG.normal(size=(4, 7)).astype("f4"), np.eye(2, dtype="f4")[[0, 1, 0, 1]], np.eye(2, dtype="f4")[[0] * 4]]
    first, second = (model(inputs, training=False)["decoder_counts"].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    latent = encoder.predict_on_batch(inputs[:2])[0]
    np.testing.assert_allclose(first, decoder.predict_on_batch([latent, inputs[2]])[0], rtol=1e-4, atol=1e-5)
    assert (model(inputs, training=True)["decoder_counts"].numpy() != first).any()


def test_same_seed_same_weights_and_a_seed_of_its_own_for_every_layer():
    make = [create_encoder(4, [8, 8], ["layernorm"] * 2, "mish", 8, 2, 0.4, seed=seed) for seed in (3, 3, 4)]
    for mine, again in zip(make[0].get_weights(), make[1].get_weights(), strict=True):
        np.testing.assert_array_equal(mine, again)
    first, second = make[0].get_weights()[:2]
    assert (first != second).any()
    assert (first != make[2].get_weights()[0]).any()
    seeds = {layer.seed for layer in make[0].layers if isinstance(layer, keras.layers.Dropout)}
    assert len(seeds) == 2


def test_without_a_seed_every_network_differs():
    first, second = (create_encoder(4, [8], ["layernorm"], "mish", 8, 2, 0.0) for _ in range(2))
    assert (first.get_weights()[0] != second.get_weights()[0]).any()


def test_unconditional_networks_do_not_see_the_batch():
    encoder = create_encoder(4, [8], ["layernorm"], "mish", 8, 2, 0.0)
    cells = RNG.normal(size=(3, 8))
    a, b = (encoder.predict_on_batch([cells, np.eye(2)[[batch] * 3]])[0] for batch in (0, 1))
    np.testing.assert_array_equal(a, b)


def test_layers_and_normalisations_of_different_length_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        create_encoder(4, [8, 8], ["layernorm"], "mish", 8, 2, 0.0)


def test_a_function_can_be_the_activation():
    encoder = create_encoder(4, [8], ["layernorm"], keras.ops.tanh, 8, 2, 0.0)
    assert encoder.predict_on_batch([np.zeros((1, 8)), np.eye(2)[:1]])[0].shape == (1, 4)


def test_a_penalty_of_zero_is_left_out():
    free = create_encoder(4, [8], ["conditionallayernorm"], "mish", 8, 2, 0.0, {"name": "L1L2", "l2": 0.0})
    assert free.get_layer("encoder_0_batch").activity_regularizer is None
    held = create_encoder(4, [8], ["conditionallayernorm"], "mish", 8, 2, 0.0, {"name": "L1L2", "l2": 0.1})
    assert float(held.get_layer("encoder_0_batch").activity_regularizer.l2) == pytest.approx(0.1)
