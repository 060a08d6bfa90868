"""What crosses devices: shares, gathering, draws and means, against NumPy over the whole minibatch."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.layers.hidden_counts import HiddenCounts
from discern.layers.mmdpp import MMDPP
from discern.layers.replicas import (
    means_over_minibatch,
    n_replicas,
    own_cells,
    own_rows,
    padded_share,
    part_of_replica,
    whole_minibatch,
)

N_CELLS = 5
PROGRAM = """
import json, sys
import keras
import numpy as np
from discern.layers.dropout import SharedDropout
from discern.layers.hidden_counts import HiddenCounts
from discern.layers.mmdpp import MMDPP
from discern.layers.replicas import (
    means_over_minibatch, own_cells, own_rows, padded_share, part_of_replica, whole_minibatch
)
from discern.layers.reparametrisation import GaussianReparametrization

n_cells = int(sys.argv[1])
cells = np.random.default_rng(0).normal(size=(n_cells, 3)).astype("float32")
strategy = tf.distribute.MirroredStrategy(TWO)
with strategy.scope():
    stream = keras.random.SeedGenerator(3)
    dropout, noise, penalty = SharedDropout(0.5, seed=4), GaussianReparametrization(5), MMDPP(321.0, seed=6)
    hidden = HiddenCounts(0.9, np.full(3, -7.0), seed=7)

def step(data):
    with own_cells(data) as own, tf.GradientTape() as tape:
        tape.watch(own)
        whole, = whole_minibatch([own])
        mean, = means_over_minibatch([tf.reduce_mean(own ** 2)])
        loss = part_of_replica(mean + tf.reduce_sum(tf.sin(whole)) + penalty([own, own - 3.0]))
        drawn = own_rows(lambda n: keras.random.normal((n, 2), seed=stream), tf.shape(own)[0])
        result = {
            "own": own, "whole": whole, "mean": mean, "loss": loss, "drawn": drawn,
            "dropped": dropout(tf.ones_like(own), training=True), "codes": noise([own, own], training=True),
            "seen": hidden(own, training=True),
        }
    return {**result, "gradient": tape.gradient(loss, own)}

def replica(context):
    return padded_share(tf.constant(cells), context.replica_id_in_sync_group, 2)

data = strategy.experimental_distribute_values_from_function(replica)
values = [[np.asarray(one).tolist() for one in strategy.experimental_local_results(value)]
          for value in tf.nest.flatten(tf.function(lambda: strategy.run(step, args=(data,)))())]
print(json.dumps(dict(zip(sorted(["own", "whole", "mean", "loss", "drawn", "dropped", "codes", "seen", "gradient"]), values))))
"""


@pytest.fixture(scope="module")
def cells():
    return np.random.default_rng(0).normal(size=(N_CELLS, 3)).astype("float32")


@pytest.fixture(scope="module")
def replicas(run_on_two_cpus):
    """By name, what either of two replicas computed; five cells, so the first holds two and the second three."""
    values = json.loads(run_on_two_cpus(PROGRAM, N_CELLS).splitlines()[-1])
    return {name: [np.array(one, "float32") for one in both] for name, both in values.items()}


@pytest.mark.parametrize("n_whole", [1, 2, 5, 9, 12])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_shares_are_of_one_size_and_hold_every_cell_in_order(n_whole, n):
    minibatch = {"cells": tf.range(n_whole), "codes": tf.zeros((n_whole, 2))}
    shares = [padded_share(minibatch, replica, n) for replica in range(n)]
    assert {tuple(share["codes"].shape) for share, _ in shares} == {(-(-n_whole // n), 2)}
    assert {int(whole) for _, whole in shares} == {n_whole}
    sizes = [(replica + 1) * n_whole // n - replica * n_whole // n for replica in range(n)]
    kept = [share["cells"].numpy()[:size] for (share, _), size in zip(shares, sizes, strict=True)]
    np.testing.assert_array_equal(np.concatenate(kept), np.arange(n_whole))


def test_one_device_hands_on_what_it_gets():
    data, means = (tf.ones((2, 3)), tf.ones(2)), [tf.constant(1.0)]
    assert n_replicas() == 1
    with own_cells(data) as cells:
        assert cells is data
        assert whole_minibatch(cells) is cells
        assert means_over_minibatch(means) is means
        assert part_of_replica(means[0]) is means[0]
        assert own_rows(lambda n: n, 7) == 7


def test_replicas_hold_their_cells_and_gather_all(replicas, cells):
    np.testing.assert_array_equal(replicas["own"][0], cells[:2])
    np.testing.assert_array_equal(replicas["own"][1], cells[2:])
    for whole in replicas["whole"]:
        np.testing.assert_array_equal(whole, cells)


def test_means_are_those_of_the_whole_minibatch(replicas, cells):
    np.testing.assert_allclose(replicas["mean"], [(cells.astype("float64") ** 2).mean()] * 2, rtol=1e-6)


def test_draws_are_the_rows_one_device_would_draw(replicas, cells):
    stream = keras.random.SeedGenerator(3)
    np.testing.assert_array_equal(np.concatenate(replicas["drawn"]), keras.random.normal((N_CELLS, 2), seed=stream))
    dropped = keras.layers.Dropout(0.5, seed=4)(np.ones_like(cells), training=True)
    np.testing.assert_array_equal(np.concatenate(replicas["dropped"]), dropped)
    assert set(np.unique(dropped)) == {0.0, 2.0}
    noise = np.asarray(keras.random.normal((N_CELLS, 3), seed=keras.random.SeedGenerator(5)))
    np.testing.assert_allclose(np.concatenate(replicas["codes"]), cells + noise * np.exp(cells), rtol=1e-5)
    seen = HiddenCounts(0.9, np.full(3, -7.0), seed=7)(cells, training=True)
    np.testing.assert_array_equal(np.concatenate(replicas["seen"]), seen)
    assert (np.asarray(seen) == -7.0).any()


def test_two_replicas_drop_different_units(replicas):
    first, second = replicas["dropped"]
    assert not np.array_equal(first, second[: len(first)])


def test_loss_and_gradient_are_those_of_one_device(replicas, cells):
    own = tf.constant(cells)
    with tf.GradientTape() as tape:
        tape.watch(own)
        penalty = MMDPP(321.0, seed=6)([own, own - 3.0])
    slope = tape.gradient(penalty, own).numpy()  # of one device; itself tested against finite differences
    exact = cells.astype("float64")
    loss = (exact**2).mean() + np.sin(exact).sum() + float(penalty)
    np.testing.assert_allclose(sum(replicas["loss"]), loss, rtol=1e-6)
    gradient = 2 * exact / exact.size + np.cos(exact) + slope
    np.testing.assert_allclose(np.concatenate(replicas["gradient"]), gradient, rtol=1e-5, atol=1e-6)
