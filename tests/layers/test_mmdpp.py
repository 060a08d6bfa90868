import keras
import numpy as np
import pytest
import tensorflow as tf

from discern.layers.mmdpp import MMDPP, N_DRAWS, mmdpp_penalty

TOTAL = 321.0


def kernel(a, b):
    distance = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return sum(2 * len(a) * s / (2 * len(a) * s + distance) for s in (0.1, 0.5, 1.0, 2.0, 10.0))


def slow_penalty(mean, prior, log_std, epsilon, total):
    """MMD++ by loops over pairs, as its definition reads."""
    mean, prior, log_std, epsilon = (x.astype("float64").tolist() for x in (mean, prior, log_std, epsilon))
    draws = [
        (i, [m + e * np.exp(s) for m, s, e in zip(mean[i], log_std[i], epsilon[i * N_DRAWS + j], strict=True)])
        for i in range(len(mean))
        for j in range(N_DRAWS)
    ]
    prior_prior = np.mean([kernel(a, b) for i, a in enumerate(prior) for j, b in enumerate(prior) if i != j])
    prior_draws = np.mean([kernel(a, b) for a in prior for _, b in draws])
    different = np.mean([kernel(a, b) for i, a in draws for j, b in draws if i != j])
    same = np.mean([kernel(a, b) for i, a in draws for j, b in draws if i == j and a is not b])
    return prior_prior - 2 * prior_draws + different + same / total


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    mean, prior = rng.normal(0.5, 2.0, (2, 5, 3)).astype("float32")
    log_std = rng.normal(-0.5, 0.7, (5, 3)).astype("float32")
    epsilon = rng.normal(size=(5 * N_DRAWS, 3)).astype("float32")
    return mean, prior, log_std, epsilon


def penalty(mean, prior, log_std, epsilon):
    return mmdpp_penalty(mean, prior, log_std, TOTAL, mean.shape[-1], epsilon=epsilon)


@pytest.mark.parametrize("jit", [False, True])
def test_matches_the_loops(case, jit):
    actual = tf.function(penalty, jit_compile=jit)(*case)
    np.testing.assert_allclose(float(actual), slow_penalty(*case, TOTAL), rtol=5e-6)


def test_works_with_an_unknown_number_of_cells(case):
    signature = [tf.TensorSpec((None, 3))] * 4
    actual = tf.function(penalty, input_signature=signature)(*case)
    np.testing.assert_allclose(float(actual), slow_penalty(*case, TOTAL), rtol=5e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_gradients_match_finite_differences(case, jit):
    @tf.function(jit_compile=jit)
    def gradients(mean, prior, log_std, epsilon):
        with tf.GradientTape() as tape:
            tape.watch([mean, log_std])
            value = penalty(mean, prior, log_std, epsilon)
        return tape.gradient(value, [mean, log_std])

    for which, actual in zip((0, 2), gradients(*map(tf.constant, case)), strict=True):
        scale = np.abs(actual).max()
        for cell, dimension in [(0, 0), (2, 1), (4, 2)]:
            shifted = []
            for step in (1e-4, -1e-4):
                arrays = [x.astype("float64") for x in case]
                arrays[which][cell, dimension] += step
                shifted.append(slow_penalty(*arrays, TOTAL))
            expected = (shifted[0] - shifted[1]) / 2e-4
            np.testing.assert_allclose(float(actual[cell, dimension]), expected, rtol=1e-4, atol=1e-5 * scale)


def test_collapsed_draws_and_a_single_cell_are_finite(case):
    mean, prior, _, epsilon = case
    collapsed = np.full_like(mean, -30.0)
    value = penalty(mean, prior, collapsed, epsilon)
    np.testing.assert_allclose(float(value), slow_penalty(mean, prior, collapsed, epsilon, TOTAL), rtol=5e-6)
    # one cell, collapsed: k(p, p) − 2 k(p, q) + k(q, q), and all draws of the cell are the same
    single = float(penalty(mean[:1], prior[:1], collapsed[:1], epsilon[:N_DRAWS]))
    np.testing.assert_allclose(single, 10 - 2 * kernel(prior[0], mean[0]) + 5 / TOTAL, rtol=1e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_a_single_cell_is_paired_with_itself(case, jit):
    """Value and gradients, the latter by finite differences."""
    mean, prior, log_std, epsilon = (x[:n] for x, n in zip(case, (1, 1, 1, N_DRAWS), strict=True))

    def slow(mean, log_std):
        draws = mean[0] + epsilon.astype("float64") * np.exp(log_std[0])
        itself = np.mean([kernel(a, b) for a in draws for b in draws])
        others = np.mean([kernel(a, b) for i, a in enumerate(draws) for j, b in enumerate(draws) if i != j])
        return 5.0 - 2 * np.mean([kernel(prior[0].astype("float64"), a) for a in draws]) + itself + others / TOTAL

    @tf.function(jit_compile=jit)
    def value_and_gradients(mean, log_std):
        with tf.GradientTape() as tape:
            tape.watch([mean, log_std])
            value = penalty(mean, prior, log_std, epsilon)
        return value, tape.gradient(value, [mean, log_std])

    value, gradients = value_and_gradients(tf.constant(mean), tf.constant(log_std))
    given = [mean.astype("float64"), log_std.astype("float64")]
    np.testing.assert_allclose(float(value), slow(*given), rtol=5e-6)
    for which, actual in enumerate(gradients):
        for dimension in range(3):
            moved = [[x.copy() for x in given] for _ in range(2)]
            moved[0][which][0, dimension] += 1e-5
            moved[1][which][0, dimension] -= 1e-5
            expected = (slow(*moved[0]) - slow(*moved[1])) / 2e-5
            np.testing.assert_allclose(float(actual[0, dimension]), expected, rtol=1e-4, atol=1e-5)


def test_large_minibatch_keeps_float32_accuracy():
    rng = np.random.default_rng(1)
    mean, prior = rng.normal(size=(2, 192, 48)).astype("float32")
    log_std = rng.normal(-3.0, 1.0, (192, 48)).astype("float32")
    epsilon = rng.normal(size=(192 * N_DRAWS, 48)).astype("float32")
    draws = (np.repeat(mean, N_DRAWS, 0) + epsilon * np.exp(np.repeat(log_std, N_DRAWS, 0))).astype("float64")

    def kernels(a, b):
        distance = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return sum(96 * s / (96 * s + distance) for s in (0.1, 0.5, 1.0, 2.0, 10.0))

    cell = np.repeat(np.arange(192), N_DRAWS)
    same, itself = cell[:, None] == cell, np.eye(len(cell), dtype=bool)
    of_prior, of_draws = kernels(prior.astype("float64"), prior.astype("float64")), kernels(draws, draws)
    expected = of_prior[~np.eye(192, dtype=bool)].mean() - 2 * kernels(prior.astype("float64"), draws).mean()
    expected += of_draws[~same].mean() + of_draws[same & ~itself].mean() / TOTAL
    for jit in (False, True):
        actual = float(tf.function(penalty, jit_compile=jit)(mean, prior, log_std, epsilon))
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_draws_come_from_the_seed(case):
    mean, prior, log_std, _ = case
    values = [float(mmdpp_penalty(mean, prior, log_std, TOTAL, 3, seed=seed)) for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
    expected = slow_penalty(mean, prior, log_std, np.asarray(keras.random.normal((40, 3), seed=1)), TOTAL)
    np.testing.assert_allclose(values[0], expected, rtol=5e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_layer_draws_its_own_prior_and_noise(case, jit):
    mean, _, log_std, _ = case
    layer = MMDPP(TOTAL, seed=4)
    call = tf.function(lambda: layer([mean, log_std]), jit_compile=jit)
    stream = keras.random.SeedGenerator(4)

    def draws():
        return keras.random.normal((5, 3), seed=stream), keras.random.normal((5 * N_DRAWS, 3), seed=stream)

    draws = tf.function(draws, jit_compile=jit)  # XLA has another generator
    for _ in range(2):  # the second call continues the stream
        prior, epsilon = (x.numpy() for x in draws())
        np.testing.assert_allclose(float(call()), slow_penalty(mean, prior, log_std, epsilon, TOTAL), atol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_layer_pulls_codes_to_the_prior_when_trained(jit):
    codes = keras.Input((2,))
    mean = keras.layers.Dense(2, kernel_initializer="identity", bias_initializer=keras.initializers.Constant(4.0))(
        codes
    )
    log_std = keras.layers.Dense(2, bias_initializer=keras.initializers.Constant(-3.0))(codes)
    penalised = keras.Model(codes, {"codes": mean, "mmdpp": MMDPP(64, seed=0, name="mmdpp")([mean, log_std])})
    assert penalised.outputs[1].shape == ()
    optimizer = keras.optimizers.Adam(0.05)

    @tf.function(jit_compile=jit)
    def step(x):
        with tf.GradientTape() as tape:
            loss = penalised(x, training=True)["mmdpp"]
        optimizer.apply(tape.gradient(loss, penalised.trainable_weights), penalised.trainable_weights)
        return loss

    optimizer.build(penalised.trainable_weights)
    x = tf.constant(np.random.default_rng(0).normal(size=(64, 2)), tf.float32)
    losses = [float(step(x)) for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]


def test_layer_config_and_mixed_precision(case):
    mean, _, log_std, _ = case
    layer = MMDPP(TOTAL, seed=4, name="mmdpp")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (copy.scale, copy.seed, copy.name) == (TOTAL, 4, "mmdpp")
    reference = float(layer([mean, log_std]))
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        mixed = MMDPP(TOTAL, seed=4)([tf.cast(mean, tf.float16), tf.cast(log_std, tf.float16)])
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert mixed.dtype == tf.float32
    np.testing.assert_allclose(float(mixed), reference, rtol=1e-2)
