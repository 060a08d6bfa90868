"""Whole models saved by the published program (Keras of TensorFlow 2.1, HDF5).

The architecture is read from the stored JSON as data: layer classes, sizes and names are looked at, nothing in the
file is imported or called.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from discern.errors import ExperimentError, ShapeError
from discern.models.wae.config import WAEConfig
from discern.models.wae.networks import create_decoder, create_encoder, create_model

_MISH = "Addons>Mish"
_FAULTS_OF_A_FILE = (
    *(OSError, LookupError, StopIteration, TypeError, ValueError, AttributeError, RecursionError),
    *(RuntimeError, OverflowError),
)


@dataclass(frozen=True)
class PublishedModel:
    """What a published file holds.

    Attributes:
        config: The architecture as a model section.
        n_genes: Number of genes.
        n_batches: Number of batches.
        n_train_cells: Number of training cells recorded in the MMD++ layer.
        encoder_weights: In the order of ``encoder.get_weights()``.
        decoder_weights: In the order of ``decoder.get_weights()``.
    """

    config: WAEConfig
    n_genes: int
    n_batches: int
    n_train_cells: int
    encoder_weights: list[np.ndarray]
    decoder_weights: list[np.ndarray]


def is_published_file(path: Path) -> bool:
    """Tell whether a file is a whole model saved by Keras of TensorFlow 2.1."""
    try:
        with h5py.File(path, "r") as file:
            return "model_config" in file.attrs and "model_weights" in file
    except _FAULTS_OF_A_FILE:
        return False


def read_published_model(path: Path) -> PublishedModel:
    """Read architecture and weights.

    Raises:
        ExperimentError: The file is no published DISCERN model, is damaged, or contradicts itself.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(file)
    except _FAULTS_OF_A_FILE as error:
        raise ExperimentError(f"{path} is no model of the published program, or is damaged: {error!r}") from error


def _read(file: h5py.File) -> PublishedModel:
    layers = {layer["name"]: layer for layer in json.loads(file.attrs["model_config"])["config"]["layers"]}
    encoder, decoder = (layers[side]["config"]["layers"] for side in ("encoder", "decoder"))
    penalty = next((layer for layer in layers.values() if layer["class_name"].endswith("MMDPP")), None)
    training = json.loads(file.attrs["training_config"]) if "training_config" in file.attrs else {}
    _refuse_output_function(layers["decoder"]["config"])
    return PublishedModel(
        config=_config(encoder, decoder, training),
        n_genes=_input_size(encoder, "encoder_input"),
        n_batches=_input_size(encoder, "encoder_labels"),
        n_train_cells=1 if penalty is None else int(penalty["config"]["scale"]),
        encoder_weights=_weights(file["model_weights/encoder"], encoder),
        decoder_weights=_weights(file["model_weights/decoder"], decoder),
    )


def _refuse_output_function(decoder: Mapping[str, Any]) -> None:
    """Refuse a decoder whose expression is not that of a Dense layer: which function follows is not stored by name."""
    output = decoder["output_layers"][0][0]
    kind = next(layer["class_name"] for layer in decoder["layers"] if layer["name"] == output)
    if kind != "Dense":
        raise ValueError(f"its decoder ends in {kind} '{output}'; only models without output_fn can be read")


def build_published_model(published: PublishedModel) -> keras.Model:
    """Return the auto-encoder with the published weights."""
    config = published.config
    encoder = create_encoder(
        config.latent_dim, config.encoder.layers, config.encoder.normalisations, config.activation_fn,
        published.n_genes, published.n_batches, config.encoder.regularization, seed=0,
    )  # fmt: skip
    decoder = create_decoder(
        config.latent_dim, published.n_genes, config.decoder.layers, config.decoder.normalisations, config.activation_fn,
        config.output_fn, published.n_batches, config.decoder.regularization, seed=0,
    )  # fmt: skip
    model = create_model(encoder, decoder, published.n_train_cells, seed=0)
    set_published_weights(model, published)
    return model


def set_published_weights(model: keras.Model, published: PublishedModel) -> None:
    """Copy the published weights into a model of the same architecture.

    Raises:
        ShapeError: The architectures differ.
    """
    for side, weights in (("encoder", published.encoder_weights), ("decoder", published.decoder_weights)):
        own = [tuple(weight.shape) for weight in model.get_layer(side).weights]
        stored = [weight.shape for weight in weights]
        if own != stored:
            raise ShapeError(f"The {side} of the published model has weights {stored}, this model needs {own}.")
        model.get_layer(side).set_weights(weights)


def _config(
    encoder: list[Mapping[str, Any]], decoder: list[Mapping[str, Any]], training: Mapping[str, Any]
) -> WAEConfig:
    latent = next(layer for layer in encoder if layer["name"] == "latent")
    content: dict[str, Any] = {
        "latent_dim": latent["config"]["units"],
        "encoder": _side(encoder),
        "decoder": _side(decoder),
        "activation_fn": _activation(encoder),
    }
    weights = training.get("loss_weights") or {}
    names = {"decoder_counts": "reconstruction_weight", "decoder_dropouts": "weighting_decoder_dropout",
             "mmdpp": "wae_lambda", "sigma_regularization": "weighting_random_encoder"}  # fmt: skip
    content |= {names[output]: weight for output, weight in weights.items() if output in names}
    return WAEConfig.model_validate(content)


def _side(layers: list[Mapping[str, Any]]) -> dict[str, Any]:
    hidden = [layer for layer in layers if _is_hidden_dense(layer, layers)]
    norms = [layer["class_name"] for layer in layers if "Normalization" in layer["class_name"]]
    conditional = "conditional" if any(_reads_labels(layer) for layer in layers) else ""
    rates = [layer["config"]["rate"] for layer in layers if layer["class_name"] == "Dropout"]
    kinds = {"LayerNormalization": "layernorm", "BatchNormalization": "batchnorm", "BatchNormalizationV2": "batchnorm"}
    return {
        "layers": [layer["config"]["units"] for layer in hidden],
        "norm_type": [conditional + kinds[norm] for norm in norms],
        "regularization": rates[0] if rates else 0.0,
    }


def _is_hidden_dense(layer: Mapping[str, Any], layers: list[Mapping[str, Any]]) -> bool:
    return layer["class_name"] == "Dense" and not layer["config"]["use_bias"] and not _reads_labels(layer)


def _reads_labels(layer: Mapping[str, Any]) -> bool:
    nodes = layer.get("inbound_nodes") or []
    return layer["class_name"] == "Dense" and any(source[0].endswith("_labels") for node in nodes for source in node)


def _activation(layers: list[Mapping[str, Any]]) -> str:
    for layer in layers:
        if layer["class_name"] == "TensorFlowOpLayer":
            return "mish" if layer["config"]["node_def"]["op"] == _MISH else layer["config"]["node_def"]["op"].lower()
        if layer["class_name"] == "Activation":
            return str(layer["config"]["activation"])
    return "linear"


def _input_size(layers: list[Mapping[str, Any]], name: str) -> int:
    return int(next(layer for layer in layers if layer["name"] == name)["config"]["batch_input_shape"][1])


def _weights(group: h5py.Group, layers: list[Mapping[str, Any]]) -> list[np.ndarray]:
    inputs = {layer["name"] for layer in layers if layer["class_name"] == "InputLayer"}
    found = []
    for layer in (layer for layer in layers if layer["class_name"] == "Dense"):
        source, units = layer["inbound_nodes"][0][0][0], layer["config"]["units"]
        kernel = _array(group, f"{layer['name']}/kernel:0")
        rows = _input_size(layers, source) if source in inputs else kernel.shape[0]
        if kernel.shape != (rows, units):
            raise ValueError(f"layer '{layer['name']}' needs a kernel {(rows, units)}, found {kernel.shape}")
        found.append(kernel)
        if layer["config"]["use_bias"]:
            found.append(_array(group, f"{layer['name']}/bias:0"))
    return found


def _array(group: h5py.Group, name: str) -> np.ndarray:
    """Read one weight; it must lie within the file, as Keras writes it: a link could name any file of the user."""
    stored, path = group[name], group.file.filename
    elsewhere = stored.external or stored.is_virtual or stored.file.filename != path
    if elsewhere or stored.nbytes > Path(path).stat().st_size or stored.dtype.kind != "f":
        raise ValueError(f"'{name}' is no array of numbers within the file")
    return stored[()]
