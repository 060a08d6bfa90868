import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.errors import ShapeError
from discern.layers.batch_rows import BatchRows, batch_rows_within, variables_with_batch_axis
from discern.layers.normalisation import BatchConditionalShift

N_BATCHES, SIZE = 4, 3
KERNEL = np.random.default_rng(0).normal(size=(N_BATCHES, SIZE)).astype("float32")
LABELS = np.random.default_rng(1).dirichlet(np.ones(N_BATCHES), 6).astype("float32")


class ScaleAndShift(BatchRows, keras.layers.Layer):
    """Two variables with a batch axis, one of them of three axes, and one without."""

    def build(self, shape):
        n_batches = shape[1][1]
        self.scales = self.add_weight(shape=(n_batches, 1, SIZE), initializer="ones", name="scales")
        self.slope = self.add_weight(shape=(), initializer="ones", name="slope")
        self.shifts = self.add_weight(shape=(n_batches, SIZE), initializer="zeros", name="shifts")

    @property
    def variables_with_batch_axis(self):
        return self.scales, self.shifts

    def call(self, inputs):
        cells, labels = inputs
        scales = keras.ops.matmul(labels, self.rows(self.scales)[:, 0])
        return cells * scales * self.slope + keras.ops.matmul(labels, self.rows(self.shifts))


class Composite(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.inner = [keras.layers.Dense(SIZE), ScaleAndShift()]

    def build(self, shape):
        self.inner[0].build(shape[0])
        self.inner[1].build(shape)

    def call(self, inputs):
        return self.inner[1]([self.inner[0](inputs[0]), inputs[1]])


def shift_with(kernel=KERNEL, **arguments) -> BatchConditionalShift:
    layer = BatchConditionalShift(SIZE, **arguments)
    layer.build((None, N_BATCHES))
    layer.kernel.assign(kernel)
    return layer


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("n_frozen", range(N_BATCHES + 1))
def test_gradients_of_frozen_rows_are_exactly_zero_and_the_others_stay(n_frozen, jit):
    layer = shift_with()
    layer.freeze_batches(n_frozen)
    upstream = np.random.default_rng(2).normal(size=(6, SIZE)).astype("float32")

    @tf.function(jit_compile=jit)
    def gradient():
        with tf.GradientTape() as tape:
            value = layer(LABELS)
            loss = tf.reduce_sum(value * upstream)
        return value, tape.gradient(loss, layer.kernel.value)

    value, actual = gradient()
    np.testing.assert_allclose(value, LABELS @ KERNEL, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(actual[:n_frozen], 0.0)
    np.testing.assert_allclose(actual[n_frozen:], (LABELS.T @ upstream)[n_frozen:], rtol=1e-5, atol=1e-6)


def test_values_are_the_same_bits_frozen_or_not():
    layer = shift_with()
    free = layer(LABELS)
    layer.freeze_batches(2)
    np.testing.assert_array_equal(layer(LABELS), free)


def test_rows_of_one_hot_labels_are_the_same_bits_in_a_wider_layer():
    narrow, wide = BatchConditionalShift(SIZE), shift_with()
    narrow.build((None, 2))
    narrow.kernel.assign(KERNEL[:2])
    labels = np.eye(N_BATCHES, dtype="float32")[[0, 1, 1, 0, 1]]
    np.testing.assert_array_equal(narrow(labels[:, :2]), wide(labels))


def test_a_penalty_on_the_shift_does_not_move_frozen_rows():
    layer = shift_with(activity_regularizer=keras.regularizers.L2(1.0))
    layer.freeze_batches(2)
    with tf.GradientTape() as tape:
        layer(LABELS)
        loss = layer.losses[0]
    gradient = tape.gradient(loss, layer.kernel.value)
    np.testing.assert_array_equal(gradient[:2], 0.0)
    assert np.all(gradient[2:] != 0)


def test_an_update_puts_frozen_rows_back():
    layer = shift_with()
    layer.freeze_batches(3)
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
    for _ in range(3):
        optimizer.apply([tf.ones((N_BATCHES, SIZE))], [layer.kernel])
    np.testing.assert_array_equal(layer.kernel.numpy()[:3], KERNEL[:3])
    assert (layer.kernel.numpy()[3] != KERNEL[3]).all()


def test_another_constraint_still_holds_for_the_other_rows():
    layer = shift_with(kernel_constraint="non_neg")
    for n_frozen in (1, 2):  # the second freeze takes the place of the first
        layer.freeze_batches(n_frozen)
    keras.optimizers.SGD(0.1).apply([tf.ones((N_BATCHES, SIZE))], [layer.kernel])
    np.testing.assert_array_equal(layer.kernel.numpy()[:2], KERNEL[:2])
    np.testing.assert_allclose(layer.kernel.numpy()[2:], np.maximum(KERNEL[2:] - 0.1, 0.0), rtol=1e-6)
    layer.freeze_batches(0)
    keras.optimizers.SGD(0.0).apply([tf.ones((N_BATCHES, SIZE))], [layer.kernel])
    np.testing.assert_array_equal(layer.kernel.numpy()[:2], np.maximum(KERNEL[:2], 0.0))


@pytest.mark.parametrize("n_batches", [-1, N_BATCHES + 1])
def test_a_number_of_batches_that_the_layer_has_not_is_refused(n_batches):
    layer = shift_with()
    with pytest.raises(ShapeError, match=rf"Cannot freeze {n_batches} batches: .*kernel has 4 rows"):
        layer.freeze_batches(n_batches)
    assert layer.kernel.constraint is None


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_the_rows(policy):
    layer = shift_with(dtype=policy)
    layer.freeze_batches(2)
    optimizer = keras.optimizers.Adam(0.1, weight_decay=0.1)
    with tf.GradientTape() as tape:
        value = layer(LABELS)
        loss = tf.reduce_sum(tf.cast(value, "float32"))
    assert value.dtype.name == policy.removeprefix("mixed_")
    optimizer.apply(tape.gradient(loss, [layer.kernel.value]), [layer.kernel])
    np.testing.assert_array_equal(layer.kernel.numpy()[:2], KERNEL[:2])
    assert (layer.kernel.numpy()[2:] != KERNEL[2:]).all()


def nested_model() -> keras.Model:
    cells, labels = keras.Input((SIZE,)), keras.Input((N_BATCHES,))
    shifted = BatchConditionalShift(SIZE, name="outer")(labels)
    inner = keras.Model([cells, labels], Composite()([cells, labels]), name="inner")
    return keras.Model([cells, labels], inner([cells + shifted, labels]))


def test_layers_are_found_within_models_and_within_layers():
    model = nested_model()
    assert {type(layer) for layer in batch_rows_within(model)} == {BatchConditionalShift, ScaleAndShift}
    found = variables_with_batch_axis(model)
    assert [tuple(variable.shape) for variable in found] == [(4, 3), (4, 1, 3), (4, 3)]
    places = [next(i for i, weight in enumerate(model.weights) if weight is variable) for variable in found]
    assert places == sorted(places)


def test_a_model_without_batch_axes_has_none():
    cells = keras.Input((SIZE,))
    assert variables_with_batch_axis(keras.Model(cells, keras.layers.Dense(2)(cells))) == ()


def test_variables_of_any_rank_are_frozen():
    layer = ScaleAndShift()
    cells = np.random.default_rng(3).normal(size=(6, SIZE)).astype("float32")
    layer.build([(None, SIZE), (None, N_BATCHES)])
    before = [variable.numpy() for variable in layer.variables_with_batch_axis]
    layer.freeze_batches(3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer([cells, LABELS]) ** 2)
    variables = [layer.scales, layer.shifts]
    keras.optimizers.AdamW(0.1).apply(tape.gradient(loss, [one.value for one in variables]), variables)
    for variable, old in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy()[:3], old[:3])
        assert (variable.numpy()[3] != old[3]).all()


def test_a_layer_must_name_its_variables():
    class Silent(BatchRows, keras.layers.Layer):
        pass

    with pytest.raises(TypeError, match="variables_with_batch_axis"):
        Silent()
