"""The scaled loss gives the steps of the optimizer inside, and leaves out those that are not finite."""

import keras
import numpy as np

from discern.optimizers.loss_scaling import ScaledLoss


def test_steps_are_those_of_the_inner_optimizer():
    start = np.array([1.0, -2.0], np.float32)
    mine, theirs = keras.Variable(start), keras.Variable(start)
    scaled, plain = ScaledLoss(keras.optimizers.Adam(0.1), initial_scale=8.0), keras.optimizers.Adam(0.1)
    for _ in range(2):
        scaled.build([mine])  # a second time must not start anew
    n_variables = len(scaled.variables)
    for step in range(3):
        gradient = np.array([0.5, step - 1.0], np.float32)
        scaled.apply([gradient * float(scaled.scale_loss(1.0))], [mine])
        plain.apply([gradient], [theirs])
        np.testing.assert_array_equal(mine, theirs)
    scaled.apply([np.array([np.inf, 1.0], np.float32)], [mine])
    np.testing.assert_array_equal(mine, theirs)
    scaled.build([mine])
    assert float(scaled.scale_loss(1.0)) == 4.0
    assert len(scaled.variables) == n_variables
