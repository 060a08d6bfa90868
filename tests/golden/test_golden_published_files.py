"""Models saved by the published program give its outputs; damaged and hostile files are refused."""

import json
import shutil
import sys

import h5py
import numpy as np
import pytest

from discern.errors import ExperimentError, ShapeError
from discern.models.wae.networks import create_decoder, create_encoder, create_model
from discern.models.wae.published_file import (
    build_published_model,
    is_published_file,
    read_published_model,
    set_published_weights,
)

FILE = "model_forward_best_model.hdf5"


@pytest.fixture
def copied(golden_dir, tmp_path):
    path = tmp_path / "best_model.hdf5"
    shutil.copyfile(golden_dir / FILE, path)
    path.chmod(0o600)
    return path


def assert_published(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=5e-6 * np.abs(expected).max())


def test_outputs_of_a_whole_model(golden_dir):
    golden = np.load(golden_dir / "model_forward.npz")
    assert is_published_file(golden_dir / FILE)
    model = build_published_model(read_published_model(golden_dir / FILE))
    latent, sigma = model.get_layer("encoder").predict_on_batch([golden["x"], golden["labels_enc"]])
    assert_published(latent, golden["latent"])
    assert_published(sigma, golden["sigma"])
    inputs = [golden["x"], golden["labels_enc"], golden["labels_dec"]]
    outputs = model(inputs, training=False)
    assert_published(outputs["decoder_counts"].numpy(), golden["full_counts"])
    assert_published(outputs["decoder_dropouts"].numpy(), golden["dropouts"])


def test_architecture_and_loss_weights_are_read(golden_dir):
    with h5py.File(golden_dir / FILE) as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    scale = next(layer["config"]["scale"] for layer in layers if layer["name"] == "mmdpp")
    published = read_published_model(golden_dir / FILE)
    config = published.config
    assert (published.n_genes, published.n_batches, published.n_train_cells) == (200, 3, scale)
    assert (config.encoder.layers, config.decoder.layers, config.latent_dim) == ([64, 32], [32, 64], 16)
    assert config.encoder.normalisations == config.decoder.normalisations == ["conditionallayernorm"] * 2
    assert (config.encoder.regularization, config.decoder.regularization) == (0.4, 0.0)
    assert config.activation_fn == "mish"
    assert (config.reconstruction_weight, config.wae_lambda) == (15000, 1500)


def test_weights_of_the_model_before_online_training(golden_dir):
    golden = np.load(golden_dir / "online_update.npz")
    published = read_published_model(golden_dir / "online_old" / "best_model.hdf5")
    for side, weights in (("enc", published.encoder_weights), ("dec", published.decoder_weights)):
        expected = [golden[key] for key in golden.files if key.startswith(f"old|{side}|")]
        assert len(weights) == len(expected)
        for weight, other in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(weight, other)
    model = build_published_model(published)
    assert model.get_layer("encoder").input_shape == [(None, 60), (None, 2)]


def test_another_architecture_is_refused(golden_dir):
    norms = ["conditionallayernorm"] * 2
    model = create_model(
        create_encoder(16, [64, 32], norms, "mish", 201, 3, 0.0),
        create_decoder(16, 201, [32, 64], norms, "mish", None, 3, 0.0),
        1,
    )
    with pytest.raises(ShapeError, match=r"encoder.*\(200, 64\).*\(201, 64\)"):
        set_published_weights(model, read_published_model(golden_dir / FILE))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(copied, share):
    content = copied.read_bytes()
    copied.write_bytes(content[: int(share * len(content))])
    assert not is_published_file(copied)
    with pytest.raises(ExperimentError, match="damaged"):
        read_published_model(copied)


def nodes_of(content, found):
    """All places in a JSON document that hold a value: (container, key)."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(items):
        found.append((content, key))
        if isinstance(value, dict | list):
            nodes_of(value, found)
    return found


def test_no_content_of_the_description_ends_in_an_unknown_error(copied):
    with h5py.File(copied, "r+") as file:
        original = json.loads(file.attrs["model_config"])
    rng = np.random.default_rng(0)
    strange = [None, -1, 0, 10**30, 0.5, "x", [], {}, [[]], True, "encoder_labels"]
    refused = 0
    for _ in range(250):
        config = json.loads(json.dumps(original))
        for number in rng.integers(0, len(nodes_of(config, [])), 2):
            found = nodes_of(config, [])
            container, key = found[number % len(found)]
            container[key] = strange[rng.integers(len(strange))]
        with h5py.File(copied, "r+") as file:
            file.attrs["model_config"] = json.dumps(config)
        try:
            read_published_model(copied)
        except ExperimentError:
            refused += 1
    assert refused > 50


def change(path, edit) -> None:
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        edit(config, file)
        file.attrs["model_config"] = json.dumps(config)


def layer_of(config, side, name):
    network = next(layer for layer in config["config"]["layers"] if layer["name"] == side)
    return next(layer for layer in network["config"]["layers"] if layer["name"] == name)


def more_genes(config, file):
    layer_of(config, "encoder", "encoder_input")["config"]["batch_input_shape"][1] = 10**12


def more_batches(config, file):
    layer_of(config, "decoder", "decoder_labels")["config"]["batch_input_shape"][1] = 10**12


def wider_layer(config, file):
    layer_of(config, "encoder", "dense_2")["config"]["units"] = 10**12


def units_are_text(config, file):
    layer_of(config, "encoder", "dense_2")["config"]["units"] = "64"


def no_encoder(config, file):
    config["config"]["layers"] = [one for one in config["config"]["layers"] if one["name"] != "encoder"]


def layers_are_a_number(config, file):
    config["config"]["layers"] = 3


def activation_is_code(config, file):
    layer_of(config, "encoder", "tf_op_layer_Addons>Mish")["config"]["node_def"]["op"] = "os.system"


def decoder_with_output_function(config, file):
    decoder = next(one for one in config["config"]["layers"] if one["name"] == "decoder")
    decoder["config"]["layers"].append({"name": "tf_op_layer_Log1p", "class_name": "TensorFlowOpLayer"})
    decoder["config"]["output_layers"][0][0] = "tf_op_layer_Log1p"


def weight_is_text(config, file):
    _replace(file, lambda group: group.create_dataset("kernel:0", (200, 64), dtype=h5py.string_dtype()))


def weight_in_another_file(config, file):
    other = f"{file.filename}.other"
    with h5py.File(other, "w") as stream:
        stream["secret"] = np.zeros((200, 64), np.float32)

    def link(group):
        group["kernel:0"] = h5py.ExternalLink(other, "secret")

    _replace(file, link)


def weight_outside_the_file(config, file):
    bytes_of_a_file = [(__file__, 0, h5py.h5f.UNLIMITED)]
    _replace(file, lambda group: group.create_dataset("kernel:0", (200, 64), dtype="f4", external=bytes_of_a_file))


def weight_without_content(config, file):
    """A terabyte that takes no place in the file."""
    _replace(file, lambda group: group.create_dataset("kernel:0", (200, 10**9), dtype="f4", chunks=(1, 1000)))


def _replace(file, make):
    group = file["model_weights/encoder/dense"]
    del group["kernel:0"]
    make(group)


@pytest.mark.parametrize(
    "edit",
    [
        *(more_genes, more_batches, wider_layer, units_are_text, no_encoder, layers_are_a_number, activation_is_code),
        *(decoder_with_output_function, weight_is_text, weight_in_another_file, weight_outside_the_file),
        weight_without_content,
    ],
)
def test_a_hostile_file_is_refused(copied, edit):
    change(copied, edit)
    with pytest.raises(ExperimentError):
        read_published_model(copied)


def test_endlessly_nested_json_is_refused(copied):
    with h5py.File(copied, "r+") as file:
        file.attrs["training_config"] = np.bytes_(b"[" * 40_000)
    with pytest.raises(ExperimentError):
        read_published_model(copied)


def test_nothing_named_in_the_file_is_imported_or_unpickled(copied, tmp_path, monkeypatch):
    (tmp_path / "planted_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)

    def plant(config, file):
        config["module"] = "planted_module"
        for layer in config["config"]["layers"]:
            layer["module"] = layer["registered_name"] = "planted_module"
        dropout = layer_of(config, "encoder", "dropout")
        dropout["module"], dropout["function"] = "planted_module", ["4wEAAA==", None, None]

    change(copied, plant)
    build_published_model(read_published_model(copied))
    assert "planted_module" not in sys.modules


def test_other_files_are_not_taken_for_published_ones(tmp_path):
    other = tmp_path / "other.hdf5"
    with h5py.File(other, "w") as file:
        file["weights"] = np.zeros(3)
    assert not is_published_file(other)
    assert not is_published_file(tmp_path / "absent.hdf5")
