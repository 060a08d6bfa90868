import inspect

import keras
import pytest

from discern.estimators import customlayers, losses


@pytest.mark.parametrize(
    ("module", "parent"), [(customlayers, keras.layers.Layer), (losses, keras.losses.Loss)], ids=["layers", "losses"]
)
def test_every_published_class_is_a_member(module, parent):
    members = module.getmembers()
    assert members == {name: value for name, value in vars(module).items() if inspect.isclass(value)}
    assert all(issubclass(member, parent) for member in members.values())
