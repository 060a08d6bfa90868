"""The model section: defaults, older spellings, faults."""

import copy
import json

import pytest
from pydantic import ValidationError

from discern.models.wae.config import WAEConfig


def test_published_file(golden_dir):
    content = json.loads((golden_dir / "published_parameters.json").read_text())
    section = content["experiments"]["default_experiment"]["model"]
    before = copy.deepcopy(section)
    config = WAEConfig.model_validate(section)
    assert section == before
    assert config == WAEConfig(
        encoder={"norm_type": ["conditionallayernorm"] * 3}, decoder={"norm_type": ["conditionallayernorm"] * 3}
    )
    assert config.activation_fn == "mish"
    assert config.reconstruction_loss == {"name": "HuberLoss", "delta": 9.0}


def test_model_level_is_reversed_for_the_decoder():
    config = WAEConfig.model_validate({"layers": [30, 20], "norm_type": ["layernorm", "batchnorm"]})
    assert (config.encoder.layers, config.decoder.layers) == ([30, 20], [20, 30])
    assert config.encoder.normalisations == ["layernorm", "batchnorm"]
    assert config.decoder.normalisations == ["batchnorm", "layernorm"]


@pytest.mark.parametrize("spelling", ["enc_{}", "{}_enc", "encoder_{}", "{}_encoder"])
def test_older_spellings_warn(spelling):
    section = {
        spelling.format("layers"): [30, 20],
        spelling.format("layers").replace("enc", "dec").replace("decoder", "decoder"): [10],
    }
    with pytest.warns(FutureWarning, match="old spelling") as caught:
        config = WAEConfig.model_validate(section)
    assert (config.encoder.layers, config.decoder.layers) == ([30, 20], [10])
    assert len(caught) == 2


@pytest.mark.parametrize(
    ("section", "location", "message"),
    [
        ({"layers": [8], "encoder": {"layers": [9]}}, "layers", "given twice"),
        ({"encoder": {"layers": [9]}}, "encoder.layers", "given for the encoder but not for the decoder"),
        ({"latent_dim": 0}, "latent_dim", "greater than 0"),
        ({"latentdim": 4}, "latentdim", "Extra inputs"),
        ({"layers": [8, 8], "norm_type": ["layernorm"]}, "encoder", "1 entry for 2 layers"),
        ({"norm_type": ["os.system"] * 3}, "encoder.norm_type", "unknown normalisation 'os.system'"),
        ({"layers": []}, "encoder.layers", "at least 1"),
        ({"regularization": 1.0}, "encoder.regularization", "less than 1"),
        ({"encoder": 3}, "encoder", "valid dictionary"),
        ({"activation_fn": "__import__"}, "activation_fn", "unknown activation"),
        ({"output_fn": "soft"}, "output_fn", "unknown output function"),
        ({"reconstruction_loss": {"name": "HuberLoss", "weight_clipping": 1}}, "reconstruction_loss", "does not take"),
        ({"reconstruction_loss": {"delta": 1}}, "reconstruction_loss", "needs a 'name'"),
        ({"crossentropy": {"label_smoothing": 1.0}}, "crossentropy.label_smoothing", "less than 1"),
        ({"wae_lambda": -1}, "wae_lambda", "greater than or equal to 0"),
    ],
)
def test_faults_name_their_place(section, location, message):
    with pytest.raises(ValidationError, match=message) as caught:
        WAEConfig.model_validate(section)
    assert location in {".".join(map(str, fault["loc"])) for fault in caught.value.errors()}


def test_all_faults_are_told_at_once():
    with pytest.raises(ValidationError) as caught:
        WAEConfig.model_validate({"layers": [8], "encoder": {"layers": [9]}, "latent_dim": 0, "output_fn": "soft"})
    assert caught.value.error_count() == 3


def test_dotted_spellings_and_json():
    section = {
        "activation_fn": "tensorflow.keras.activations.relu",
        "output_fn": "tensorflow.nn.softplus",
        "conditional_regularization": {"name": "tensorflow.keras.regularizers.L1L2", "l2": 0.1},
    }
    config = WAEConfig.model_validate(section)
    assert (config.activation_fn, config.output_fn) == ("relu", "softplus")
    assert config.decoder.conditional_regularization == {"name": "L1L2", "l2": 0.1}
    assert WAEConfig.model_validate(config.model_dump()) == config


def test_number_of_weights():
    config = WAEConfig.model_validate({"latent_dim": 2, "encoder": {"layers": [8, 5]}, "decoder": {"layers": [7]}})
    assert config.n_weights(60) == 60 * 8 + 8 * 5 + 5 * 4 + 2 * 7 + 7 * 120
