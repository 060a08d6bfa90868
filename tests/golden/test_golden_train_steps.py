"""Twelve training steps from the published weights with the published draws follow the published path."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.config.experiment import ExperimentConfig
from discern.io.transform import InputTransform
from discern.models.contract import DataDescription
from discern.models.wae.family import WAEFamily
from discern.optimizers.build import build_optimizer
from discern.scaling import GeneScaling

N_CELLS, N_STEPS = 24, 12
TERMS = ["loss", "decoder_counts_loss", "decoder_dropouts_loss", "mmdpp_loss", "sigma_regularization_loss"]


@pytest.fixture(scope="module")
def golden(golden_dir):
    return np.load(golden_dir / "train_steps.npz")


@pytest.fixture(scope="module")
def published(golden_dir) -> ExperimentConfig:
    content = json.loads((golden_dir / "published_parameters.json").read_text())["experiments"]["default_experiment"]
    content["model"]["encoder"] = {"layers": [64, 32], "regularization": 0.0}
    content["model"]["decoder"] = {"layers": [32, 64], "regularization": 0.0}
    content["model"]["norm_type"] = ["conditionallayernorm"] * 2
    content["model"]["latent_dim"] = 16
    return ExperimentConfig.model_validate(content)


@pytest.fixture
def draws(golden, monkeypatch):
    """The published draws in place of ``keras.random.normal``; ``draws(step)`` chooses them."""
    current = {name: tf.Variable(golden[name][0]) for name in ("noise", "pz", "eps")}
    order = {1: ["noise"], 2: ["pz", "eps"]}  # draws per random stream: reparametrisation one, MMD++ two

    def install(model: keras.Model):
        streams = {
            id(model.get_layer(layer).seed_generator): itertools.cycle(order[count])
            for layer, count in (("gaussian_reparametrization", 1), ("mmdpp", 2))
        }

        def normal(shape, *args, seed, **kwargs):
            return tf.ensure_shape(tf.convert_to_tensor(current[next(streams[id(seed)])]), (None, 16))

        monkeypatch.setattr(keras.random, "normal", normal)

        def at(step: int) -> None:
            for name, variable in current.items():
                variable.assign(golden[name][step])

        return at

    return install


def make_family(golden, published) -> WAEFamily:
    # expression 0 becomes the published value of a zero count: (0 − mean)/1
    scaling = GeneScaling(-golden["zeros"].astype(np.float32), np.ones(200, np.float32))
    transform = InputTransform(library_size=20000, log=True, scaling=scaling)
    family = WAEFamily(published.model, DataDescription(200, ("a", "b", "c"), 13276, transform))
    for side, network in (("enc", family.encoder), ("dec", family.decoder)):
        network.set_weights([golden[key] for key in golden.files if key.startswith(f"w0|{side}|")])
    return family


def optimizer_of(published):
    settings = published.training.optimizer
    return build_optimizer(settings.algorithm, settings.learning_rate, settings.arguments)


def minibatch(golden, step):
    rows = slice(step % 2 * N_CELLS, step % 2 * N_CELLS + N_CELLS)
    cells, labels = golden["x"][rows], golden["labels"][rows]
    inputs = {"input_data": cells, "batch_input_enc": labels, "batch_input_dec": labels}
    return inputs, {"decoder_counts": cells, "decoder_dropouts": cells}


def test_gradients_of_the_first_step(golden, published, draws):
    family = make_family(golden, published)
    family.compile(optimizer_of(published), jit_compile=False)
    draws(family.model)(0)
    inputs, targets = minibatch(golden, 0)
    with tf.GradientTape() as tape:
        outputs = family.model(inputs, training=True)
        loss = family.model.compute_loss(inputs, targets, outputs)
    weights = [*family.encoder.trainable_variables, *family.decoder.trainable_variables]
    for gradient, name in zip(tape.gradient(loss, [w.value for w in weights]), golden["trainable_names"], strict=True):
        expected = golden[f"g0|{name}"]
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=5e-6 * np.abs(expected).max(), err_msg=name)


def penalty_in_float64(mean, prior, log_std, epsilon, total_number_cells):
    """MMD++ straight from its definition, with all pairs at hand."""
    mean, prior, log_std, epsilon = (np.asarray(one, np.float64) for one in (mean, prior, log_std, epsilon))
    n_latent, cell = mean.shape[1], np.repeat(np.arange(len(mean)), 8)
    draws = mean[cell] + epsilon * np.exp(log_std[cell])

    def kernel(a, b):
        distances = np.square(a[:, None] - b[None]).sum(axis=-1)
        return sum(2 * n_latent * s / (2 * n_latent * s + distances) for s in (0.1, 0.5, 1, 2, 10))

    same_cell, itself = cell[:, None] == cell, np.eye(len(draws), dtype=bool)
    among_draws = kernel(draws, draws)
    return (
        kernel(prior, prior)[~np.eye(len(prior), dtype=bool)].mean()
        - 2 * kernel(prior, draws).mean()
        + among_draws[~same_cell].mean()
        + among_draws[same_cell & ~itself].mean() / total_number_cells
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_twelve_steps(golden, published, draws, jit_compile):
    """The published program itself breaks in the fifth step: its MMD++ is NaN there. Ours must stay right.

    In the fourth step exp(log_std) reaches 4,000: distances between neighbouring draws lose four digits, in ours and
    in the published program.
    """
    family = make_family(golden, published)
    family.compile(optimizer_of(published), jit_compile)
    choose = draws(family.model)
    history, exact = [], []
    for step in range(N_STEPS):
        choose(step)
        inputs, targets = minibatch(golden, step)
        latent = family.encode(inputs["input_data"], inputs["batch_input_enc"])
        exact.append(penalty_in_float64(latent.mean, golden["pz"][step], latent.log_std, golden["eps"][step], 13276))
        logs = family.model.train_on_batch(inputs, targets, return_dict=True)
        family.model.reset_metrics()
        history.append([logs[term] for term in TERMS])
        if step == 0:
            weights = [*family.encoder.get_weights(), *family.decoder.get_weights()]
            for weight, name in zip(weights, golden["trainable_names"], strict=True):
                expected = golden[f"w1|{name}"]
                np.testing.assert_allclose(weight, expected, rtol=0, atol=5e-6 * np.abs(expected).max(), err_msg=name)
    terms, expected = np.array(history), golden["loss_terms"]
    np.testing.assert_allclose(terms[:3], expected[:3], rtol=5e-6)
    np.testing.assert_allclose(terms[3, [1, 2, 4]], expected[3, [1, 2, 4]], rtol=5e-6)
    np.testing.assert_allclose(terms[3], expected[3], rtol=5e-4)
    np.testing.assert_allclose(terms[4, 1:3], expected[4, 1:3], rtol=2e-5)
    assert np.isnan(expected[4:, 3]).all()
    np.testing.assert_allclose(terms[:, TERMS.index("mmdpp_loss")], exact, rtol=5e-4)
    np.testing.assert_allclose(terms[:, 0], terms[:, 1:] @ golden["loss_weights"], rtol=1e-6)
