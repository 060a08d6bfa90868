import numpy as np
import pytest

from discern.errors import ShapeError
from discern.io.transform import InputTransform
from discern.models.contract import DataDescription
from discern.models.wae.config import WAEConfig
from discern.models.wae.family import WAEFamily
from discern.online_learning import update_model

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
