import numpy as np
import pytest
import tensorflow as tf

from discern.layers.mmdpp import mmdpp_penalty

TOTAL_NUMBER_CELLS = 13276


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("case", ["small", "wide"])
def test_penalty_and_gradients(golden_dir, case, jit):
    golden = np.load(golden_dir / "mmdpp.npz")
    means, prior, log_std, epsilon = (golden[f"{case}_{key}"] for key in ("qz", "pz", "sigma", "eps"))

    @tf.function(jit_compile=jit)
    def penalty_and_gradients(means, log_std):
        with tf.GradientTape() as tape:
            tape.watch([means, log_std])
            penalty = mmdpp_penalty(means, prior, log_std, TOTAL_NUMBER_CELLS, means.shape[1], epsilon=epsilon)
        return penalty, tape.gradient(penalty, [means, log_std])

    penalty, gradients = penalty_and_gradients(tf.constant(means), tf.constant(log_std))
    np.testing.assert_allclose(float(penalty), golden[f"{case}_out"], rtol=5e-6)
    for actual, key in zip(gradients, ("qz", "sigma"), strict=True):
        expected = golden[f"{case}_grad_{key}"]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=5e-6 * np.abs(expected).max())
