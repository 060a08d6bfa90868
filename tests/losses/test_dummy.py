import keras
import numpy as np

from discern.losses.dummy import DummyLoss

VALUES = np.array([1.0, 2.0, 6.0], dtype="float32")


def test_is_the_prediction_whatever_the_truth():
    np.testing.assert_array_equal(DummyLoss().call(np.zeros(3), VALUES), VALUES)
    assert float(DummyLoss()(np.full(3, np.nan), VALUES)) == 3.0
    assert float(DummyLoss(reduction="sum")(np.zeros(3), VALUES)) == 9.0
    assert float(DummyLoss()(np.zeros(()), np.float32(2.5))) == 2.5


def test_config_round_trip():
    loss = DummyLoss(reduction="sum", name="mmdpp")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert (copy.reduction, copy.name) == ("sum", "mmdpp")
