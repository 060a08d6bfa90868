import numpy as np
import pytest

from discern.errors import ParametersError, ShapeError
from discern.io.transform import InputTransform
from discern.models.contract import DataDescription
from discern.models.wae.config import WAEConfig
from discern.models.wae.family import WAEFamily
from discern.online_learning import update_model
from discern.online_learning.widening import widen

CONFIG = {"latent_dim": 3, "encoder": {"layers": [8, 6]}, "decoder": {"layers": [6, 8]}}


def family(n_batches: int, n_genes: int = 10, seed: int = 0, **config) -> WAEFamily:
    description = DataDescription(n_genes, tuple(f"b{i}" for i in range(n_batches)), 50, InputTransform())
    return WAEFamily(WAEConfig.model_validate(CONFIG | config), description, seed)


def randomised(n_batches: int, seed: int, **arguments) -> WAEFamily:
    made = family(n_batches, seed=seed, **arguments)
    rng = np.random.default_rng(seed)
    made.model.set_weights([rng.normal(size=weight.shape).astype(np.float32) for weight in made.model.get_weights()])
    return made


def weights(made: WAEFamily) -> dict[str, np.ndarray]:
    return {variable.path: variable.numpy().copy() for variable in made.model.weights}


def kernels(made: WAEFamily) -> set[str]:
    return {variable.path for variable in made.variables_with_batch_axis()}


def test_old_rows_are_copied_to_the_bit_and_new_rows_stay():
    old, new = randomised(2, seed=1), randomised(5, seed=2)
    before, after = weights(new), weights(new)
    assert update_model(old.model, new.model) is new.model
    after = weights(new)
    assert len(kernels(new)) == 4
    for path, value in weights(old).items():
        if path in kernels(new):
            np.testing.assert_array_equal(after[path][:2], value)
            np.testing.assert_array_equal(after[path][2:], before[path][2:])
        else:
            np.testing.assert_array_equal(after[path], value)


def test_old_batches_decode_as_before():
    old, new = randomised(2, seed=1), randomised(3, seed=2)
    update_model(old.model, new.model)
    rng = np.random.default_rng(0)
    cells, labels = rng.normal(size=(7, 10)).astype(np.float32), np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 1, 0, 0]]
    wider = np.pad(labels, ((0, 0), (0, 1)))
    latent = old.encode(cells, labels)
    np.testing.assert_allclose(new.encode(cells, wider).mean, latent.mean, rtol=1e-5, atol=1e-5)
    decoded, again = old.decode(latent.mean, labels), new.decode(latent.mean, wider)
    np.testing.assert_allclose(again.expression, decoded.expression, rtol=1e-5, atol=1e-5)


def test_only_widened_layers_stay_trainable_when_frozen():
    old, new = randomised(2, seed=1), family(3)
    update_model(old.model, new.model, freeze_unchanged=True)
    assert {variable.path for variable in new.model.trainable_variables} == kernels(new)


def test_nothing_is_frozen_unless_asked_for():
    old, new = randomised(2, seed=1), family(3)
    update_model(old.model, new.model)
    assert len(new.model.trainable_variables) == len(new.model.weights)


def test_without_new_batches_everything_is_copied_and_frozen():
    old, new = randomised(2, seed=1), family(2)
    update_model(old.model, new.model, freeze_unchanged=True)
    for path, value in weights(old).items():
        np.testing.assert_array_equal(weights(new)[path], value)
    assert new.model.trainable_variables == []


@pytest.mark.parametrize(
    "other",
    [
        {"n_batches": 1},
        {"n_batches": 3, "n_genes": 11},
        {"n_batches": 3, "latent_dim": 4},
        {"n_batches": 3, "encoder": {"layers": [8]}},
        {"n_batches": 3, "norm_type": ["layernorm", "layernorm"]},
    ],
)
def test_any_other_difference_is_refused_and_nothing_changes(other):
    old, new = randomised(2, seed=1), randomised(seed=2, **other)
    before = weights(new)
    with pytest.raises(ShapeError, match=r"encoder|decoder|latent"):
        update_model(old.model, new.model, freeze_unchanged=True)
    for path, value in weights(new).items():
        np.testing.assert_array_equal(value, before[path])
    assert new.model.trainable_variables


@pytest.mark.parametrize("n_new", [1, 3])
def test_new_rows_start_at_the_mean_of_the_old_ones(n_new):
    old, new = randomised(2, seed=1), family(2 + n_new)
    widen(old, new, new_rows="mean")
    for path, value in weights(old).items():
        if path in kernels(new):
            np.testing.assert_array_equal(weights(new)[path][:2], value)
            mean = [sum(float(row[i]) for row in value) / len(value) for i in range(value.shape[1])]
            np.testing.assert_allclose(weights(new)[path][2:], [mean] * n_new, rtol=1e-6)


def test_new_rows_start_at_zero_unless_asked_otherwise():
    old, new = randomised(2, seed=1), family(4)
    widen(old, new)
    for path in kernels(new):
        np.testing.assert_array_equal(weights(new)[path][2:], 0.0)
    assert len(new.model.trainable_variables) == len(new.model.weights)


@pytest.mark.parametrize("freeze_mode", ["conditional", "new-batches"])
def test_only_variables_with_a_batch_axis_are_trained(freeze_mode):
    old, new = randomised(2, seed=1), family(3)
    widen(old, new, freeze_mode=freeze_mode)
    assert {variable.path for variable in new.model.trainable_variables} == kernels(new)
    kept = [variable.constraint is not None for variable in new.model.trainable_variables]
    assert kept == [freeze_mode == "new-batches"] * 4


def test_rows_of_a_known_batch_may_be_trained_without_a_new_one():
    old, new = randomised(2, seed=1), family(2)
    widen(old, new, freeze_mode="conditional")
    assert {variable.path for variable in new.model.trainable_variables} == kernels(new)


@pytest.mark.parametrize(
    ("n_batches", "norm_type", "freeze_mode", "message"),
    [
        (2, "conditionallayernorm", "new-batches", "there are no new batches"),
        (3, "layernorm", "new-batches", "no variables with a row for each batch"),
        (3, "layernorm", "conditional", "no variables with a row for each batch"),
    ],
)
def test_freezing_everything_is_refused_and_nothing_changes(n_batches, norm_type, freeze_mode, message):
    norms = {"norm_type": [norm_type] * 2}
    old, new = randomised(2, seed=1, **norms), randomised(n_batches, seed=2, **norms)
    before = weights(new)
    with pytest.raises(ParametersError, match=message):
        widen(old, new, freeze_mode=freeze_mode)
    for path, value in weights(new).items():
        np.testing.assert_array_equal(value, before[path])
    assert len(new.model.trainable_variables) == len(new.model.weights)


def test_batches_in_another_order_are_refused():
    old = randomised(2, seed=1)
    description = DataDescription(10, ("b1", "b0", "b2"), 50, InputTransform())
    new = WAEFamily(old.config, description)
    with pytest.raises(ShapeError, match="b0, b1, must be the first of the new one; received b1, b0, b2"):
        widen(old, new)
