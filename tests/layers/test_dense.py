"""Products in another order or format give the layer and the gradients of Keras' Dense."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.layers.dense import ProductDense, WideDense, products_in

CELLS = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def output_and_gradients(kind, jit, **arguments):
    layer = kind(7, kernel_initializer=keras.initializers.HeNormal(seed=1), **arguments)
    layer.build(CELLS.shape)

    @tf.function(jit_compile=jit)
    def run(cells):
        with tf.GradientTape() as tape:
            tape.watch(cells)
            output = layer(cells)
            total = tf.reduce_sum(tf.sin(tf.cast(output, tf.float32)))
        return output, tape.gradient(total, [cells, *layer.trainable_variables])

    return run(tf.constant(CELLS))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("arguments", [{}, {"activation": "sigmoid"}, {"use_bias": False}])
def test_is_the_dense_layer_of_keras(arguments, jit):
    output, gradients = output_and_gradients(WideDense, jit, **arguments)
    expected, expected_gradients = output_and_gradients(keras.layers.Dense, jit, **arguments)
    np.testing.assert_allclose(output, expected, rtol=1e-6, atol=1e-6)
    for one, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [ProductDense, WideDense])
def test_same_bits_as_keras_without_a_product_dtype(kind):
    output, gradients = output_and_gradients(kind, jit=False, activation="sigmoid")
    expected, expected_gradients = output_and_gradients(keras.layers.Dense, jit=False, activation="sigmoid")
    np.testing.assert_array_equal(output, expected)
    for one, other in zip(gradients[1:], expected_gradients[1:], strict=True):  # those of the weights
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(("dtype", "digits"), [("bfloat16", 8), ("float16", 11)])
@pytest.mark.parametrize("kind", [ProductDense, WideDense])
def test_only_products_are_rounded(kind, dtype, digits, jit):
    """Against NumPy in float64 on operands that TensorFlow rounded."""
    output, (of_cells, of_kernel, of_bias) = output_and_gradients(kind, jit, product_dtype=dtype)
    assert {one.dtype for one in (output, of_cells, of_kernel, of_bias)} == {tf.float32}

    def rounded(values):
        return tf.cast(tf.cast(values, dtype), tf.float64).numpy()

    def assert_product(found, left, right):
        assert np.array_equal(found, rounded(found)) or jit  # XLA may keep more digits than asked for
        # Processors without instructions for the format round every partial sum as well.
        bound = 2.0**-digits * left.shape[1] * (np.abs(left) @ np.abs(right))
        assert (np.abs(found - left @ right) <= bound).all()

    kernel = rounded(keras.initializers.HeNormal(seed=1)((5, 7)))
    upstream = np.cos(output)  # the slope of the sine
    of_products = rounded(upstream)
    assert_product(output.numpy(), rounded(CELLS), kernel)
    assert_product(of_cells.numpy(), of_products, kernel.T)
    assert_product(of_kernel.numpy(), rounded(CELLS).T, of_products)
    np.testing.assert_allclose(of_bias, upstream.sum(axis=0), rtol=1e-5)


def test_config_keeps_the_product_dtype():
    with products_in("bfloat16"):
        layer = WideDense(7, name="scores")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (type(copy), copy.units, copy.name, copy.product_dtype) == (WideDense, 7, "scores", "bfloat16")
    assert WideDense(7).product_dtype is None
