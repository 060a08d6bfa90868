"""The product in another order gives the layer and the gradients of Keras' Dense."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.layers.dense import WideDense

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


def test_half_precision_and_config():
    layer = WideDense(7, dtype="mixed_bfloat16", name="scores")
    assert layer(CELLS).dtype == tf.bfloat16
    assert layer.kernel.dtype == "float32"
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (type(copy), copy.units, copy.name) == (WideDense, 7, "scores")
