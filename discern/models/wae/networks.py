"""Encoder, decoder and the whole auto-encoder as functional Keras models.

Names of inputs and outputs are the published ones. Every layer of a side is
Dense without bias → normalisation (+ shift per batch) → activation → dropout.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from discern.compiled_regions import in_one_pass
from discern.layers.dense import ProductDense, WideDense
from discern.layers.dropout import SharedDropout
from discern.layers.hidden_counts import HiddenCounts
from discern.layers.mmdpp import MMDPP
from discern.layers.output_functions import OutputExpression, apply_output_function
from discern.layers.reparametrisation import GaussianReparametrization
from discern.layers.sigma import SigmaRegularization
from discern.models.termwise import TermwiseModel
from discern.registry import ACTIVATIONS, NORMALISATIONS, REGULARIZERS

Activation: TypeAlias = str | Callable[[Any], Any]
Regularization: TypeAlias = Mapping[str, Any] | keras.Regularizer | None

COUNTS = "decoder_counts"
DROPOUTS = "decoder_dropouts"
MMD = "mmdpp"
SIGMA = "sigma_regularization"

_INITIAL_LOG_STD = -10.0  # an almost deterministic encoder


def create_encoder(
    latent_dim: int,
    enc_layers: Sequence[int],
    enc_norm_type: Sequence[str],
    activation_fn: Activation,
    input_dim: int,
    n_labels: int,
    regularization: float,
    conditional_regularization: Regularization = None,
    *,
    hidden_counts: float = 0.0,
    zeros: np.ndarray | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Return the encoder: (expression, batch labels) → (latent mean, latent log standard deviation).

    Args:
        latent_dim: Dimensions of the latent space.
        enc_layers: Width of every hidden layer.
        enc_norm_type: One name of ``registry.NORMALISATIONS`` per layer.
        activation_fn: A name of ``registry.ACTIVATIONS`` or a function.
        input_dim: Number of genes.
        n_labels: Number of batches.
        regularization: Dropout rate.
        conditional_regularization: Penalty on the activity of the conditional layers, e.g. ``{"name": "L1L2", "l2": 0}``.
        hidden_counts: Largest share of a cell's genes that is hidden while training.
        zeros: What a count of zero reads like, (input_dim,); 0 when None.
        seed: Drives initial weights, hidden counts and dropout; random when None.
    """
    seeds = _seeds(seed)
    cells = keras.Input((input_dim,), name="encoder_input")
    labels = keras.Input((n_labels,), name="encoder_labels")
    seen = cells
    if hidden_counts:
        zeros = np.zeros(input_dim) if zeros is None else zeros
        seen = HiddenCounts(hidden_counts, zeros, seed=next(seeds), name="hidden_counts")(cells)
    hidden = _hidden_layers(
        "encoder",
        seen,
        labels,
        enc_layers,
        enc_norm_type,
        activation_fn,
        regularization,
        conditional_regularization,
        seeds,
    )
    latent = keras.layers.Dense(latent_dim, kernel_initializer=_he_normal(seeds), name="latent")(hidden)
    sigma = keras.layers.Dense(
        latent_dim,
        kernel_initializer=_he_normal(seeds),
        bias_initializer=keras.initializers.Constant(_INITIAL_LOG_STD),
        name="sigma_enc",
    )(hidden)
    return keras.Model([cells, labels], [latent, sigma], name="encoder")


def create_decoder(
    latent_dim: int,
    output_cells_dim: int,
    dec_layers: Sequence[int],
    dec_norm_type: Sequence[str],
    activation_fn: Activation,
    output_fn: str | None,
    n_labels: int,
    regularization: float,
    output_lsn: float | None = None,
    conditional_regularization: Regularization = None,
    *,
    seed: int | None = None,
) -> keras.Model:
    """Return the decoder: (latent, batch labels) → (expression, P(count > 0)).

    Args:
        latent_dim: Dimensions of the latent space.
        output_cells_dim: Number of genes.
        dec_layers: Width of every hidden layer.
        dec_norm_type: One name of ``registry.NORMALISATIONS`` per layer.
        activation_fn: A name of ``registry.ACTIVATIONS`` or a function.
        output_fn: A name of ``registry.OUTPUT_FUNCTIONS``; None leaves the expression linear.
        n_labels: Number of batches.
        regularization: Dropout rate.
        output_lsn: Library size of the normalising output functions.
        conditional_regularization: Penalty on the activity of the conditional layers.
        seed: Drives initial weights and dropout; random when None.

    Raises:
        ParametersError: The output function needs a library size and there is none.
    """
    apply_output_function(np.zeros((1, 2), np.float32), output_fn, output_lsn)  # else the first training step fails
    seeds = _seeds(seed)
    latent = keras.Input((latent_dim,), name="decoder_input")
    labels = keras.Input((n_labels,), name="decoder_labels")
    hidden = _hidden_layers(
        "decoder",
        latent,
        labels,
        dec_layers,
        dec_norm_type,
        activation_fn,
        regularization,
        conditional_regularization,
        seeds,
    )
    scores = WideDense(output_cells_dim, kernel_initializer=_he_normal(seeds), name="decoder_scores")(hidden)
    counts = OutputExpression(output_fn, output_lsn, name=COUNTS)(scores)
    dropouts = WideDense(
        output_cells_dim, kernel_initializer=_he_normal(seeds), activation="sigmoid", name=DROPOUTS, dtype="float32"
    )(hidden)
    return keras.Model([latent, labels], [counts, dropouts], name="decoder")


class WAE(TermwiseModel):
    """The Wasserstein auto-encoder; made by :func:`create_model`."""


def create_model(
    encoder: keras.Model, decoder: keras.Model, total_number_cells: float, name: str = "WAE", *, seed: int | None = None
) -> WAE:
    """Join encoder and decoder into the model that is trained.

    Args:
        encoder: From :func:`create_encoder`.
        decoder: From :func:`create_decoder`.
        total_number_cells: Number of training cells, for MMD++.
        name: Name of the model.
        seed: Drives the draws of the latent code and of MMD++; random when None.

    Returns:
        Inputs ``input_data`` (n_cells, n_genes), ``batch_input_enc``, ``batch_input_dec`` (n_cells, n_batches); outputs
        by name ``decoder_counts`` and ``decoder_dropouts`` (n_cells, n_genes), ``mmdpp`` and ``sigma_regularization``
        (n_cells,).
    """
    seeds = _seeds(seed)
    cells = keras.Input((encoder.input_shape[0][1],), name="input_data")
    source_batch = keras.Input((encoder.input_shape[1][1],), name="batch_input_enc")
    target_batch = keras.Input((decoder.input_shape[1][1],), name="batch_input_dec")
    latent_mean, latent_log_std = encoder([cells, source_batch])
    latent = GaussianReparametrization(next(seeds), name="gaussian_reparametrization")([latent_mean, latent_log_std])
    counts, dropouts = decoder([latent, target_batch])
    sigma = SigmaRegularization(name=SIGMA)(latent_log_std)
    penalty = MMDPP(total_number_cells, next(seeds), name=MMD)([latent_mean, latent_log_std])
    outputs = {COUNTS: counts, DROPOUTS: dropouts, MMD: penalty + ops.zeros_like(sigma), SIGMA: sigma}
    return WAE(inputs=[cells, source_batch, target_batch], outputs=outputs, name=name)


def _hidden_layers(
    side: str,
    cells: Any,
    labels: Any,
    widths: Sequence[int],
    normalisations: Sequence[str],
    activation_fn: Activation,
    dropout_rate: float,
    conditional_regularization: Regularization,
    seeds: Iterator[int],
) -> Any:
    activation = _activation(activation_fn)
    for number, (width, normalisation) in enumerate(zip(widths, normalisations, strict=True)):
        name = f"{side}_{number}"
        dense = ProductDense(width, use_bias=False, kernel_initializer=_he_normal(seeds), name=f"{name}_dense")
        normalise = NORMALISATIONS.get(normalisation)
        cells = normalise(dense(cells), labels, width, _regularizer(conditional_regularization), name=name)
        cells = keras.layers.Activation(activation, name=f"{name}_activation")(cells)
        cells = SharedDropout(dropout_rate, seed=next(seeds), name=f"{name}_dropout")(cells)
    return cells


def _activation(activation_fn: Activation) -> Callable[[Any], Any]:
    activation = ACTIVATIONS.get(activation_fn) if isinstance(activation_fn, str) else activation_fn
    if activation is keras.activations.mish:  # the default, and nine operations when taken one by one
        return lambda hidden: in_one_pass(keras.activations.mish, hidden)
    return activation


def _regularizer(regularization: Regularization) -> keras.Regularizer | None:
    if not isinstance(regularization, Mapping):
        return regularization
    arguments = {key: value for key, value in regularization.items() if key != "name"}
    if not any(arguments.values()):
        return None  # a penalty of zero would cost a pass over every activity
    return REGULARIZERS.build(regularization["name"], **arguments)


def _he_normal(seeds: Iterator[int]) -> keras.initializers.Initializer:
    return keras.initializers.HeNormal(seed=next(seeds))


def _seeds(seed: int | None) -> Iterator[int]:
    return (int(state) for state in np.random.SeedSequence(seed).generate_state(256) >> 1)
