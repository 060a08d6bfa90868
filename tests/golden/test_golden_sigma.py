import numpy as np

from discern.layers.sigma import SigmaRegularization
from discern.losses.dummy import DummyLoss


def test_sigma_regularization_and_dummy_loss(golden_dir):
    golden = np.load(golden_dir / "sigma.npz")
    actual = SigmaRegularization()(golden["sigma"])
    np.testing.assert_allclose(actual, golden["out"], rtol=5e-6)
    np.testing.assert_allclose(float(DummyLoss()(golden["out"], actual)), golden["dummy_reduced"], rtol=5e-6)
