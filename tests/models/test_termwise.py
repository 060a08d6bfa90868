"""Weighing, summing and logging of named terms."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from discern.errors import ParametersError
from discern.models import termwise
from discern.models.termwise import TermwiseModel


class TwoTerms:
    weights = {"near": 2.0, "far": 10.0}

    def terms(self, inputs, targets, outputs):
        return {"near": ops.mean(ops.abs(outputs - targets), axis=-1), "far": ops.mean(inputs)}


def make_model(penalty=None, objective=None):
    cells = keras.Input((3,))
    dense = keras.layers.Dense(3, use_bias=False, kernel_initializer="identity", activity_regularizer=penalty)
    model = TermwiseModel(cells, dense(cells))
    model.compile_objective(objective or TwoTerms(), keras.optimizers.SGD(0.0), jit_compile=False)
    return model


@pytest.fixture
def cells():
    return np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)


def test_history_holds_unweighted_means_and_the_weighted_total(cells):
    targets = np.zeros_like(cells)
    minibatches = tf.data.Dataset.from_tensor_slices((cells, targets)).batch(4)
    history = make_model().fit(minibatches, verbose=0, shuffle=False).history
    near, far = np.abs(cells).mean(), cells.mean()
    assert history["near_loss"] == [pytest.approx(near, rel=1e-5)]
    assert history["far_loss"] == [pytest.approx(far, rel=1e-5)]
    assert history["loss"] == [pytest.approx(2 * near + 10 * far, rel=1e-5)]


def test_cells_of_a_smaller_last_minibatch_count_as_much(cells):
    """Two minibatches, of 8 and of 2 cells: the mean is over cells, not over minibatches."""
    cells[8:] += 5
    data = tf.data.Dataset.from_tensor_slices((cells, np.zeros_like(cells))).batch(8)
    logs = make_model().evaluate(data, return_dict=True, verbose=0)
    assert logs["far_loss"] == pytest.approx(cells.mean(), rel=1e-5)
    assert logs["loss"] == pytest.approx(2 * np.abs(cells).mean() + 10 * cells.mean(), rel=1e-5)


def test_regularisation_is_in_the_total_only(cells):
    model = make_model(keras.regularizers.L2(0.5))
    logs = model.test_on_batch(cells, np.zeros_like(cells), return_dict=True)
    plain = make_model().test_on_batch(cells, np.zeros_like(cells), return_dict=True)
    assert logs["near_loss"] == pytest.approx(plain["near_loss"])
    assert logs["loss"] - plain["loss"] == pytest.approx(0.5 * np.square(cells).sum() / len(cells), rel=1e-4)


def test_means_start_anew_every_epoch(cells):
    data = tf.data.Dataset.from_tensor_slices((cells, np.zeros_like(cells))).batch(5)
    history = make_model().fit(data, epochs=2, verbose=0, shuffle=False).history
    assert history["near_loss"][0] == pytest.approx(history["near_loss"][1])


def test_only_the_term_that_broke_first_is_not_finite(cells):
    class Breaking(TwoTerms):
        def terms(self, inputs, targets, outputs):
            found = super().terms(inputs, targets, outputs)
            late = ops.any(inputs > 90)
            everything = ops.any(inputs > 900)
            nan = float("nan")
            return {
                "near": ops.where(everything, nan, found["near"]),
                "far": ops.where(late, nan, found["far"]),
            }

    cells = np.repeat(np.array([[1.0], [100.0], [1000.0]], np.float32), 3, axis=1)
    data = tf.data.Dataset.from_tensor_slices((cells, np.zeros_like(cells))).batch(1)
    logs = make_model(objective=Breaking()).evaluate(data, return_dict=True, verbose=0)
    assert np.isnan(logs["far_loss"])
    assert np.isnan(logs["loss"])
    assert np.isfinite(logs["near_loss"])


def test_penalties_on_activities_are_refused_on_several_devices(monkeypatch):
    monkeypatch.setattr(termwise, "n_replicas", lambda: 2)
    make_model()
    with pytest.raises(ParametersError, match="name one GPU in training.GPU"):
        make_model(penalty=keras.regularizers.L2(0.1))
