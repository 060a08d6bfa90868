"""Every spelling of published files, old and new, gives the same configuration."""

import copy
from contextlib import nullcontext
from itertools import product

import pytest

from discern.config.loading import experiment_config
from discern.errors import ParametersError

VALUES = {
    "layers": ([32, 16], [16, 32]),
    "norm_type": (["layernorm", "batchnorm"], ["batchnorm", "layernorm"]),
    "regularization": (0.2, 0.2),
    "conditional_regularization": ({"name": "L1L2", "l1": 0.5}, {"name": "L1L2", "l1": 0.5}),
}
SIDED = {"encoder": ("enc_{}", "{}_enc", "encoder_{}", "{}_encoder"), "decoder": ("dec_{}", "{}_dec")}


def model_of(content, **expect):
    with pytest.warns(FutureWarning, match="old spelling") if expect.get("warns") else nullcontext():
        return experiment_config({"model": content}).model


def expected(key):
    """The model section of the present spelling with one key given for both sides."""
    sections = {"encoder": {"layers": [32, 16]}, "decoder": {"layers": [16, 32]}}
    for side, value in zip(sections, VALUES[key], strict=True):
        sections[side][key] = value
    return model_of(sections)


def with_layers(content, key):
    """Add layers that fit the norm types, in the present spelling, unless the key is ``layers`` itself."""
    if key == "layers":
        return content
    return content | {"encoder": {"layers": [32, 16]}, "decoder": {"layers": [16, 32]}}


@pytest.mark.parametrize("key", VALUES)
def test_a_key_at_model_level_is_the_encoder_s_and_reversed_the_decoder_s(key):
    assert model_of(with_layers({key: VALUES[key][0]}, key)) == expected(key)


@pytest.mark.parametrize("key", VALUES)
@pytest.mark.parametrize(("enc", "dec"), list(product(SIDED["encoder"], SIDED["decoder"])))
def test_every_old_spelling_of_a_side_is_read_with_a_warning(key, enc, dec):
    content = {enc.format(key): VALUES[key][0], dec.format(key): VALUES[key][1]}
    assert model_of(with_layers(content, key), warns=True) == expected(key)


def test_old_and_present_spellings_can_be_mixed():
    content = {"encoder": {"layers": [32, 16]}, "dec_layers": [16, 32]}
    assert model_of(content, warns=True) == expected("layers")


@pytest.mark.parametrize(
    "name",
    [
        "mish",
        "tensorflow_addons.activations.mish",
        "tensorflow.keras.activations.mish",
        "tf.keras.activations.mish",
        "keras.activations.mish",
        "tensorflow.nn.mish",
    ],
)
def test_dotted_activations(name):
    assert model_of({"activation_fn": name, "output_fn": name}).activation_fn == "mish"


@pytest.mark.parametrize("name", ["softmax", "tensorflow.nn.softmax", "LSN", "sigsoftmax", None])
def test_output_functions(name):
    found = model_of({"output_fn": name}).output_fn
    assert found == (None if name is None else name.rpartition(".")[2])


@pytest.mark.parametrize("prefix", ["", "tensorflow_addons.optimizers."])
def test_dotted_optimizers(prefix):
    settings = {"algorithm": f"{prefix}RectifiedAdam", "learning_rate": 0.01, "beta_1": 0.5, "amsgrad": True}
    optimizer = experiment_config({"training": {"optimizer": settings}}).training.optimizer
    assert (optimizer.algorithm, optimizer.arguments) == (
        "RectifiedAdam",
        {"beta_1": 0.5, "beta_2": 0.95, "amsgrad": True},
    )


def test_dotted_keras_optimizer_and_schedule():
    decay = {"name": "tensorflow.keras.optimizers.schedules.ExponentialDecay", "decay_steps": 10, "decay_rate": 0.5}
    settings = {"algorithm": "tensorflow.keras.optimizers.Adam", "learning_decay": decay}
    optimizer = experiment_config({"training": {"optimizer": settings}}).training.optimizer
    assert optimizer.algorithm == "Adam"
    assert optimizer.learning_decay == decay


@pytest.mark.parametrize("name", ["L1L2", "tensorflow.keras.regularizers.L1L2", "l1_l2"])
def test_dotted_regularizers(name):
    model = model_of({"conditional_regularization": {"name": name, "l2": 0.5}})
    assert model.decoder.conditional_regularization == {"name": "L1L2", "l2": 0.5}


@pytest.mark.parametrize("loss", ["HuberLoss", {"name": "discern.estimators.losses.HuberLoss"}])
def test_spellings_of_losses(loss):
    assert model_of({"reconstruction_loss": loss}).reconstruction_loss == {"name": "HuberLoss"}


@pytest.mark.parametrize(
    ("content", "where", "message"),
    [
        ({"layers": [4], "encoder": {"layers": [4]}}, "model.layers", "given twice"),
        ({"layers": [4], "dec_layers": [4]}, "model.layers", "given twice"),
        ({"enc_layers": [4], "layers_enc": [4], "dec_layers": [4]}, "model.layers_enc", "given twice"),
        ({"encoder": {"layers": [4]}}, "model.encoder.layers", "not for the decoder"),
        ({"decoder": {"regularization": 0.1}}, "model.decoder.regularization", "not for the encoder"),
        ({"enc_norm_type": ["layernorm"]}, "model.encoder.norm_type", "not for the decoder"),
        ({"layers": [8, 4], "norm_type": ["layernorm"]}, "model.encoder", "norm_type has 1 entry for 2 layers"),
        ({"norm_type": ["layernorm"] * 4}, "model.decoder", "norm_type has 4 entries for 3 layers"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*old spelling:FutureWarning")
def test_contradictions_are_told_with_their_place(content, where, message):
    before = copy.deepcopy(content)
    with pytest.raises(ParametersError, match=message) as error:
        experiment_config({"model": content})
    assert f"  {where}: " in str(error.value)
    assert content == before
