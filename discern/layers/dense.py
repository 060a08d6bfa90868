"""Dense layers of the wide products, where a training step spends its time.

Their matrix products can run in half precision; everything around them stays in float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

_PRODUCT_DTYPE: ContextVar[str | None] = ContextVar("product_dtype", default=None)


@contextmanager
def products_in(dtype: str | None) -> Iterator[None]:
    """Let the layers built here multiply in this format; afterwards new layers are as before.

    Args:
        dtype: ``bfloat16``, ``float16``, or None for the format of the layers.
    """
    token = _PRODUCT_DTYPE.set(dtype)
    try:
        yield
    finally:
        _PRODUCT_DTYPE.reset(token)


@keras.saving.register_keras_serializable(package="discern")
class ProductDense(keras.layers.Dense):
    """Keras' Dense; the matrix products of output and gradients may run in another format.

    Weights, bias, activation, output and gradients keep the format of the layer: cells, kernel and the gradient of the
    output are rounded where they enter a product, and so is each result. Processors without instructions for the format
    round partial sums too.

    Args:
        units: Number of outputs.
        product_dtype: Format of the products; None takes that of :func:`products_in`, by default none of its own.
        **kwargs: Arguments of Keras' Dense.
    """

    def __init__(self, units: int, *, product_dtype: str | None = None, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.product_dtype = product_dtype or _PRODUCT_DTYPE.get()

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return activation(inputs · kernel + bias), (n_cells, units), from (n_cells, n_inputs)."""
        product = self._in_product_dtype(inputs, ops.reshape(self.kernel, self.kernel.shape))
        if self.bias is not None:
            product = ops.add(product, self.bias)
        return product if self.activation is None else self.activation(product)

    def _in_product_dtype(self, cells: Any, kernel: Any) -> Any:
        if self.product_dtype is None:
            return self._product(cells, kernel)
        product = self._product(ops.cast(cells, self.product_dtype), ops.cast(kernel, self.product_dtype))
        return ops.cast(product, kernel.dtype)

    def _product(self, cells: Any, kernel: Any) -> Any:
        """Return cells · kernel; both are tensors, as custom gradients take no variables."""
        return ops.matmul(cells, kernel)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "product_dtype": self.product_dtype}


@keras.saving.register_keras_serializable(package="discern")
class WideDense(ProductDense):
    """A :class:`ProductDense` whose input gradient is (kernel · gradientᵀ)ᵀ, not gradient · kernelᵀ.

    They are the same numbers up to rounding. With a few hundred cells and thousands of units the first runs 10 to 15 %
    faster on CPUs: the long kernel is read in its own order and only the small result is transposed.
    """

    def _product(self, cells: Any, kernel: Any) -> Any:
        return _product(cells, kernel)


@ops.custom_gradient
def _product(cells: Any, kernel: Any) -> Any:
    def gradient(*args: Any, upstream: Any = None) -> tuple[Any, Any]:
        upstream = args[0] if upstream is None else upstream
        of_cells = ops.transpose(ops.matmul(kernel, ops.transpose(upstream)))
        return of_cells, ops.matmul(ops.transpose(cells), upstream)

    return ops.matmul(cells, kernel), gradient
