import numpy as np

from discern.mmd import SCALES, mmd_loss


def test_mmd_loss(golden_dir):
    golden = np.load(golden_dir / "mmd_loss.npz")
    actual = mmd_loss(golden["x"], golden["y"], float(golden["sigma"]))
    np.testing.assert_allclose(actual, golden["mmd_c"], rtol=5e-6)
    np.testing.assert_allclose(actual, golden["mmd_py"], rtol=5e-6)
    np.testing.assert_allclose(SCALES, golden["scales"], rtol=1e-6)
