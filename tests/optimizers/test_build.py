import keras
import numpy as np
import pytest

from discern.errors import MissingParameterError, ParametersError, UnknownNameError
from discern.optimizers.build import build_optimizer
from discern.optimizers.lookahead import Lookahead
from discern.optimizers.rectified_adam import RectifiedAdam


def test_published_example():
    arguments = {"beta_1": 0.85, "beta_2": 0.95, "amsgrad": False}
    optimizer = build_optimizer("tensorflow_addons.optimizers.RectifiedAdam", 1e-3, arguments)
    assert isinstance(optimizer, RectifiedAdam)
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.amsgrad) == (0.85, 0.95, False)
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)
    assert arguments == {"beta_1": 0.85, "beta_2": 0.95, "amsgrad": False}


def test_lookahead_wraps_it():
    optimizer = build_optimizer("Adam", 1, {}, lookahead=True)  # a whole number from JSON is fine
    assert isinstance(optimizer, Lookahead)
    assert isinstance(optimizer.inner_optimizer, keras.optimizers.Adam)
    assert (float(optimizer.learning_rate), optimizer.sync_period, optimizer.slow_step_size) == (1.0, 6, 0.5)


def test_learning_decay_starts_at_the_learning_rate_and_is_not_consumed():
    decay = {"name": "tensorflow.keras.optimizers.schedules.ExponentialDecay", "decay_steps": 10, "decay_rate": 0.5}
    given = dict(decay)
    for _ in range(2):
        optimizer = build_optimizer("RectifiedAdam", 0.2, {}, learning_decay=decay)
        optimizer.iterations.assign(10)
        np.testing.assert_allclose(float(optimizer.learning_rate), 0.1, rtol=1e-6)
    assert decay == given


def test_learning_decay_may_set_its_own_start_or_have_none():
    decay = {"name": "CosineDecay", "initial_learning_rate": 0.4, "decay_steps": 10}
    np.testing.assert_allclose(float(build_optimizer("SGD", 0.2, {}, decay).learning_rate), 0.4, rtol=1e-6)
    pieces = {"name": "PiecewiseConstantDecay", "boundaries": [5], "values": [0.3, 0.1]}
    np.testing.assert_allclose(float(build_optimizer("SGD", 0.2, {}, pieces).learning_rate), 0.3, rtol=1e-6)


def test_warm_up_is_the_optimizers_own():
    optimizer = build_optimizer("RectifiedAdam", 1e-3, {"total_steps": 100, "warmup_proportion": 0.2, "min_lr": 1e-5})
    assert (optimizer.total_steps, optimizer.warmup_proportion, optimizer.min_lr) == (100, 0.2, 1e-5)


def test_faults_are_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'RectifiedAdam'"):
        build_optimizer("RectifiedAdams", 1e-3, {})
    with pytest.raises(ParametersError, match="did you mean 'beta_1'"):
        build_optimizer("Adam", 1e-3, {"beta1": 0.9})
    with pytest.raises(UnknownNameError, match="Did you mean 'CosineDecay'"):
        build_optimizer("Adam", 1e-3, {}, {"name": "CosineDecays", "decay_steps": 1})
    with pytest.raises(ParametersError, match="did you mean 'decay_steps'"):
        build_optimizer("Adam", 1e-3, {}, {"name": "CosineDecay", "decay_step": 1})
    with pytest.raises(MissingParameterError, match="'CosineDecay' needs 'decay_steps'"):
        build_optimizer("Adam", 1e-3, {}, {"name": "CosineDecay"})
    with pytest.raises(MissingParameterError, match="needs a 'name'"):
        build_optimizer("Adam", 1e-3, {}, {"decay_steps": 1})
