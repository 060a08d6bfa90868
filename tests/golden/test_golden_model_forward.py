"""Encoder, decoder and the whole model give the published outputs for the published weights."""

import numpy as np
import pytest

from discern.models.wae.networks import create_decoder, create_encoder, create_model

NORMS = ["conditionallayernorm"] * 2


@pytest.fixture(scope="module")
def golden(golden_dir):
    return np.load(golden_dir / "model_forward.npz")


@pytest.fixture(scope="module")
def networks(golden):
    encoder = create_encoder(16, [64, 32], NORMS, "mish", 200, 3, 0.4)
    decoder = create_decoder(16, 200, [32, 64], NORMS, "mish", None, 3, 0.0)
    encoder.set_weights([golden[f"enc|{name}"] for name in golden["enc_weight_order"]])
    decoder.set_weights([golden[f"dec|{name}"] for name in golden["dec_weight_order"]])
    return encoder, decoder, create_model(encoder, decoder, 100)


def assert_published(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=5e-6 * np.abs(expected).max())


def test_encoder(golden, networks):
    latent, sigma = networks[0].predict_on_batch([golden["x"], golden["labels_enc"]])
    assert_published(latent, golden["latent"])
    assert_published(sigma, golden["sigma"])


def test_decoder_with_fractional_labels(golden, networks):
    assert not np.isin(golden["labels_dec"], [0, 1]).all()
    counts, dropouts = networks[1].predict_on_batch([golden["latent"], golden["labels_dec"]])
    assert_published(counts, golden["counts"])
    assert_published(dropouts, golden["dropouts"])


def test_whole_model_outputs_by_their_published_names(golden, networks):
    inputs = {
        "input_data": golden["x"],
        "batch_input_enc": golden["labels_enc"],
        "batch_input_dec": golden["labels_dec"],
    }
    outputs = networks[2](inputs, training=False)
    assert list(outputs) == list(golden["model_output_names"])
    assert_published(outputs["decoder_counts"].numpy(), golden["full_counts"])
    assert_published(outputs["sigma_regularization"].numpy(), golden["full_sigma_reg"])
