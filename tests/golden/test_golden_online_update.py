import numpy as np
import pytest

from discern.models.wae.networks import create_decoder, create_encoder, create_model
from discern.models.wae.published_file import build_published_model, read_published_model
from discern.online_learning import update_model

NORMS = ["conditionallayernorm"] * 2


@pytest.fixture(scope="module")
def golden(golden_dir):
    return np.load(golden_dir / "online_update.npz")


def published_weights(golden, when: str, side: str) -> list[np.ndarray]:
    return [golden[name] for name in golden.files if name.startswith(f"{when}|{side}|")]


def model_with(golden, when: str, n_batches: int):
    model = create_model(
        create_encoder(4, [16, 8], NORMS, "mish", 60, n_batches, 0.4, seed=0),
        create_decoder(4, 60, [8, 16], NORMS, "mish", None, n_batches, 0.0, seed=0),
        100,
        seed=0,
    )
    for side in ("encoder", "decoder"):
        model.get_layer(side).set_weights(published_weights(golden, when, side[:3]))
    return model


def assert_published_update(golden, model):
    for side in ("encoder", "decoder"):
        expected = published_weights(golden, "new_after", side[:3])
        assert len(expected) == 8
        for weight, value in zip(model.get_layer(side).weights, expected, strict=True):
            np.testing.assert_array_equal(weight.numpy(), value, err_msg=weight.path)


@pytest.mark.parametrize("freeze", [False, True])
def test_weights_are_carried_over_as_published(golden, freeze):
    new = model_with(golden, "new_before", 3)
    update_model(model_with(golden, "old", 2), new, freeze_unchanged=freeze)
    assert_published_update(golden, new)


def test_a_model_saved_by_the_published_program_can_be_widened(golden, golden_dir):
    old = build_published_model(read_published_model(golden_dir / "online_old" / "best_model.hdf5"))
    new = model_with(golden, "new_before", 3)
    update_model(old, new)
    assert_published_update(golden, new)


def test_the_same_layers_are_frozen_as_published(golden):
    flags = [str(entry).split("=") for entry in golden["frozen_trainable"]]
    with_weights = ("dense", "latent", "sigma")
    published = {
        side: [
            flag == "True" for name, flag in flags if name.startswith(tuple(f"{side}/{kind}" for kind in with_weights))
        ]
        for side in ("encoder", "decoder")
    }
    new = model_with(golden, "new_before", 3)
    update_model(model_with(golden, "old", 2), new, freeze_unchanged=True)
    for side, expected in published.items():
        layers = new.get_layer(side).layers
        assert [layer.trainable for layer in layers if layer.weights] == expected
        assert not any(layer.trainable for layer in layers if not layer.weights)
    trainable = [variable.path for variable in new.trainable_variables]
    assert len(trainable) == len(golden["trainable_weights_after_freeze"]) == 4
