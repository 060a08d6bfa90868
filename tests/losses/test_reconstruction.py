import keras
import pytest

from discern.errors import MissingParameterError, ParametersError, UnknownNameError
from discern.losses.huber import HuberLoss
from discern.losses.lnorm import Lnorm
from discern.losses.reconstruction import reconstruction_loss


def test_builds_ours_and_keras_losses():
    assert isinstance(reconstruction_loss("HuberLoss"), HuberLoss)
    assert isinstance(reconstruction_loss("tensorflow.keras.losses.MeanSquaredError"), keras.losses.MeanSquaredError)
    loss = reconstruction_loss({"name": "Lnorm", "p": 3, "axis": -1, "use_root": True, "epsilon": 1e-9})
    assert isinstance(loss, Lnorm)
    assert (loss.p, loss.axis, loss.use_root, loss.epsilon) == (3, -1, True, 1e-9)


def test_leaves_the_dictionary_as_it_was():
    loss_type = {"name": "HuberLoss", "delta": 9.0}
    assert reconstruction_loss(loss_type).delta == reconstruction_loss(loss_type).delta == 9.0
    assert loss_type == {"name": "HuberLoss", "delta": 9.0}


def test_unknown_name_is_a_key_error_with_a_suggestion():
    with pytest.raises(KeyError, match="Did you mean 'HuberLoss'") as caught:
        reconstruction_loss({"name": "HubertLoss"})
    assert isinstance(caught.value, UnknownNameError)


def test_unknown_argument_and_missing_name():
    with pytest.raises(ParametersError, match="weight_clipping"):
        reconstruction_loss({"name": "HuberLoss", "weight_clipping": 3.0})
    with pytest.raises(MissingParameterError, match="needs a 'name'"):
        reconstruction_loss({"delta": 9.0})
