"""Genes that were not measured in a cell take no part in the loss."""

import numpy as np
import pytest
import tensorflow as tf

from discern.models.wae.config import WAEConfig
from discern.models.wae.objective import WAEObjective
from discern.registry import RECONSTRUCTION_LOSSES

RNG = np.random.default_rng(0)
N_CELLS, N_GENES = 6, 9
ZEROS = RNG.normal(-1.0, 0.5, N_GENES).astype("float32")
MEASURED = RNG.random((N_CELLS, N_GENES)) < 0.6
MEASURED[0], MEASURED[1], MEASURED[:, 2] = True, False, False
EXPRESSION = RNG.gamma(2.0, 1.0, (N_CELLS, N_GENES)).astype("float32")
EXPRESSION[RNG.random((N_CELLS, N_GENES)) < 0.4] = 0.0
EXPRESSION = np.where(EXPRESSION == 0, ZEROS, EXPRESSION).astype("float32")
ESTIMATE = RNG.gamma(2.0, 1.0, (N_CELLS, N_GENES)).astype("float32")
PROBABILITY = RNG.uniform(0.02, 0.98, (N_CELLS, N_GENES)).astype("float32")


def huber(error, delta):
    error = np.abs(error)
    return np.where(error <= delta, error**2 / 2, delta * error - delta**2 / 2)


def mean_over_all_genes(per_gene):
    return lambda y, p: np.where(MEASURED, per_gene(y, p), 0).sum(axis=1) / N_GENES


def cosine(y, p):
    y, p = (np.where(MEASURED, values, 0) for values in (y, p))
    norms = np.linalg.norm(y, axis=1) * np.linalg.norm(p, axis=1)
    return -np.divide((y * p).sum(axis=1), norms, out=np.zeros(N_CELLS), where=norms > 0)


def lnorm(y, p, exponent, axis):
    return np.where(MEASURED, np.abs(y - p) ** exponent, 0).sum(axis=axis)


LOSSES = {
    "HuberLoss": ({"delta": 0.7}, mean_over_all_genes(lambda y, p: huber(y - p, 0.7))),
    "Lnorm": ({"p": 3, "axis": -1, "use_root": True}, lambda y, p: lnorm(y, p, 3, 1) ** (1 / 3)),
    "Lnorm over cells": ({"p": 2, "axis": 0, "use_root": True}, lambda y, p: lnorm(y, p, 2, 0) ** 0.5),
    "Lnorm of odd power": ({"p": 1.5}, lambda y, p: lnorm(y, p, 1.5, 0)),
    "MeanSquaredError": ({}, mean_over_all_genes(lambda y, p: (y - p) ** 2)),
    "MeanAbsoluteError": ({}, mean_over_all_genes(lambda y, p: np.abs(y - p))),
    "MeanSquaredLogarithmicError": (
        {},
        mean_over_all_genes(lambda y, p: (np.log1p(np.maximum(y, 1e-7)) - np.log1p(np.maximum(p, 1e-7))) ** 2),
    ),
    "LogCosh": ({}, mean_over_all_genes(lambda y, p: np.log(np.cosh(y - p)))),
    "Poisson": ({}, mean_over_all_genes(lambda y, p: p - y * np.log(p + 1e-7))),
    "CosineSimilarity": ({}, cosine),
    "Huber": ({"delta": 0.7}, mean_over_all_genes(lambda y, p: huber(y - p, 0.7))),
}


def objective(name: str) -> WAEObjective:
    loss = {"name": name.split(" ")[0], **LOSSES[name][0]}
    config = {"reconstruction_loss": loss, "crossentropy": {"label_smoothing": 0.2, "lower_label_smoothing": 0.1}}
    return WAEObjective(WAEConfig.model_validate(config), ZEROS)


def terms_and_slopes(objective, expression, measured, how="graph"):
    """Both terms of the genes and the slopes of their sums with respect to what the decoder gives."""
    targets = {"decoder_counts": expression, "decoder_dropouts": expression}
    if measured is not None:
        targets["measured"] = tf.constant(measured, tf.float32)

    def run(estimate, probability):
        outputs = {
            "decoder_counts": estimate,
            "decoder_dropouts": probability,
            "mmdpp": tf.zeros(N_CELLS),
            "sigma_regularization": tf.zeros(N_CELLS),
        }
        with tf.GradientTape() as tape:
            tape.watch([estimate, probability])
            terms = objective.terms({}, targets, outputs)
            reconstruction, dropouts = terms["decoder_counts"], terms["decoder_dropouts"]
            total = tf.reduce_sum(reconstruction) + tf.reduce_sum(dropouts)
        return reconstruction, dropouts, *tape.gradient(total, [estimate, probability])

    if how != "eager":
        run = tf.function(run, jit_compile=how == "XLA")
    return [one.numpy() for one in run(tf.constant(ESTIMATE), tf.constant(PROBABILITY))]


def test_every_loss_of_the_registry_is_here():
    assert {name.split(" ")[0] for name in LOSSES} == set(RECONSTRUCTION_LOSSES.entries)


@pytest.mark.parametrize("how", ["eager", "graph", "XLA"])
@pytest.mark.parametrize("name", LOSSES)
def test_unmeasured_genes_add_nothing_and_get_no_gradient(name, how):
    reconstruction, dropouts, *slopes = terms_and_slopes(objective(name), EXPRESSION, MEASURED, how)
    expected = LOSSES[name][1](EXPRESSION.astype("float64"), ESTIMATE.astype("float64"))
    np.testing.assert_allclose(reconstruction, expected, rtol=1e-4, atol=1e-6)
    target = np.where(EXPRESSION == ZEROS, 0.1, 1.0) * 0.8 + 0.1
    p = PROBABILITY.astype("float64")
    per_gene = -np.where(MEASURED, target * np.log(p) + (1 - target) * np.log(1 - p), 0)
    np.testing.assert_allclose(dropouts, per_gene.sum(axis=1) / N_GENES, rtol=1e-4)
    for slope in slopes:
        np.testing.assert_array_equal(slope[~MEASURED], 0.0)
        assert np.isfinite(slope).all()
        assert (slope[MEASURED] != 0).mean() > 0.5


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_read_of_unmeasured_genes_has_no_part(name):
    filled, other = (np.where(MEASURED, EXPRESSION, fill).astype("float32") for fill in (0.3, 1e6))
    both = [terms_and_slopes(objective(name), expression, MEASURED) for expression in (filled, other)]
    for one, two in zip(*both, strict=True):
        np.testing.assert_array_equal(one, two)


# cosine similarity knows no weight of a gene; the root of a sum depends on all that is in the sum
SUMS = [name for name, (arguments, _) in LOSSES.items() if name != "CosineSimilarity" and not arguments.get("use_root")]


@pytest.mark.parametrize("name", SUMS)
def test_a_measured_gene_has_the_weight_it_has_where_all_were_measured(name):
    of_all = terms_and_slopes(objective(name), EXPRESSION, None)
    of_some = terms_and_slopes(objective(name), EXPRESSION, MEASURED)
    for slope, masked in zip(of_all[2:], of_some[2:], strict=True):
        np.testing.assert_allclose(masked[MEASURED], slope[MEASURED], rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_all_measured_is_as_if_nothing_had_been_said(name):
    everything = np.ones_like(MEASURED)
    pairs = (terms_and_slopes(objective(name), EXPRESSION, measured) for measured in (None, everything))
    for one, two in zip(*pairs, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-7)
