"""Output functions of the decoder's expression head; the names are those of ``registry.OUTPUT_FUNCTIONS``.

The *library size normalised* functions turn scores into shares of a cell's transcripts and return
log1p(library_size · share). Plain Keras activations are applied as they are, without rescaling.
"""

from typing import Any

import keras
from keras import ops

from discern.errors import ParametersError
from discern.registry import OUTPUT_FUNCTIONS


def softmax_expression(x: Any, library_size: float) -> Any:
    """Return log1p(library_size · softmax(x)), the shares being over genes.

    Args:
        x: Scores, (n_cells, n_genes).
        library_size: Normalised number of transcripts per cell, linear (``scale.LSN``).
    """
    return ops.log1p(library_size * ops.softmax(x, axis=-1))


def lsn_expression(x: Any, library_size: float) -> Any:
    """Return log1p(library_size · relu(x) / Σ relu(x)); a cell without a positive score is all zero.

    Args:
        x: Scores, (n_cells, n_genes).
        library_size: Normalised number of transcripts per cell, linear (``scale.LSN``).
    """
    positive = ops.relu(x)
    return ops.log1p(library_size * ops.divide_no_nan(positive, ops.sum(positive, axis=-1, keepdims=True)))


def sigsoftmax_expression(x: Any, library_size: float) -> Any:
    """Return log1p(library_size · share) with share ∝ exp(x) · sigmoid(x).

    Args:
        x: Scores, (n_cells, n_genes).
        library_size: Normalised number of transcripts per cell, linear (``scale.LSN``).

    Source:
        Kanai et al. 2018, Sigsoftmax: Reanalysis of the Softmax Bottleneck.
    """
    return ops.log1p(library_size * ops.softmax(x + ops.log_sigmoid(x), axis=-1))


_NORMALISED = (softmax_expression, lsn_expression, sigsoftmax_expression)


def apply_output_function(x: Any, output_fn: str | None, library_size: float | None) -> Any:
    """Return ``x`` through the named output function.

    Args:
        x: Scores, (n_cells, n_genes).
        output_fn: A name of ``registry.OUTPUT_FUNCTIONS``, or None to return ``x`` itself.
        library_size: Linear library size; only the library size normalised functions use it.

    Raises:
        UnknownNameError: The name is unknown.
        ParametersError: The function needs a library size and there is none.
    """
    if output_fn is None:
        return x
    function = OUTPUT_FUNCTIONS.get(output_fn)
    if function not in _NORMALISED:
        return function(x)
    if library_size is None:
        raise ParametersError(
            f"output_fn '{output_fn}' needs a library size, but the data were not normalised to one. "
            "Set input_ds.scale.LSN, or choose a plain activation such as 'softplus'."
        )
    return function(x, library_size)


@keras.saving.register_keras_serializable(package="discern")
class OutputExpression(keras.layers.Layer):
    """:func:`apply_output_function` as a layer, always in float32: shares of 1e-5 are lost in half precision.

    Args:
        output_fn: A name of ``registry.OUTPUT_FUNCTIONS``, or None.
        library_size: Linear library size, or None.
        **kwargs: Arguments of every Keras layer.
    """

    def __init__(self, output_fn: str | None = None, library_size: float | None = None, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.output_fn = output_fn
        self.library_size = library_size

    def call(self, x: Any) -> Any:
        """Return expression, (n_cells, n_genes), from scores of the same shape."""
        return apply_output_function(x, self.output_fn, self.library_size)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "output_fn": self.output_fn, "library_size": self.library_size}
