"""What every model family must do; a family without a set-up here fails the suite.

Each family gets the smallest configuration that is not trivial. Capabilities are tested for the families that have
them: encoding, decoding and, with both, projecting.
"""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.config_section import ConfigSection
from discern.errors import ParametersError
from discern.io.cell_sources import MemorySource
from discern.io.data import DISCERNData
from discern.models.catalog import CONFIGS, DEFAULT_FAMILY, FAMILIES
from discern.models.contract import DataDescription, Decodes, Encodes, ModelFamily, Reconstructs
from discern.online_learning.widening import widen
from discern.optimizers.build import build_optimizer
from discern.projection.reconstruct import reconstruct_cells
from discern.projection.targets import Target
from discern.training.checkpoints import Checkpoint, load_family, load_state, load_weights, save_checkpoint
from discern.training.fit import fit

SET_UPS = {
    "wae": {"layers": [8], "latent_dim": 4, "regularization": 0.3},
}
N_GENES, BATCHES = 12, ("b0", "b1", "b2")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    codes = np.arange(48) % 3
    counts = sparse.csr_matrix((rng.poisson(1.5, (48, N_GENES)) + np.eye(48, N_GENES)).astype(np.float32))
    library_size = np.asarray(counts.sum(axis=1)).ravel().astype(np.float32)
    logged = sparse.csr_matrix(counts.multiply(1000 / library_size[:, None])).log1p()
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical.from_codes(codes, list(BATCHES)),
            "split": ["valid"] * 12 + ["train"] * 36,
            "n_counts": library_size,
        },
        index=[f"cell{i}" for i in range(48)],
    )
    dense = logged.toarray()
    var = pd.DataFrame(
        {"mean_scaling": dense.mean(axis=0), "var_scaling": dense.std(axis=0)}, index=[f"g{i}" for i in range(N_GENES)]
    )
    uns = {"DISCERN": {"scale": {"LSN": 1000.0}}, "fixed_scaling": {"mean": "genes", "var": "genes"}}
    return DISCERNData(anndata.AnnData(logged, obs, var, uns, layers={"counts": counts}), batch_size=12)


def build(name: str, data: DISCERNData, seed: int = 0) -> ModelFamily:
    config = CONFIGS.get(name).model_validate({"name": name, **SET_UPS[name]})
    family = FAMILIES.get(name)(config, DataDescription(N_GENES, BATCHES, 36, data.transform), seed)
    family.compile(build_optimizer("Adam", 1e-3, {}), jit_compile=False)
    family.model.run_eagerly = True
    return family


def train(family: ModelFamily, data: DISCERNData, epochs: range = range(1)):
    cells = [MemorySource(data, BATCHES, data.cells_of(split)) for split in ("train", "valid")]
    return fit(family, *cells, batch_size=12, seed=0, epochs=epochs)


def same_weights(first, second) -> bool:
    pairs = zip(first.model.get_weights(), second.model.get_weights(), strict=True)
    return all(np.array_equal(mine, other) for mine, other in pairs)


def test_every_family_has_a_set_up_and_a_configuration():
    assert set(SET_UPS) == set(FAMILIES.entries) == set(CONFIGS.entries)
    assert DEFAULT_FAMILY in FAMILIES.entries


@pytest.fixture(params=FAMILIES.entries)
def name(request):
    return request.param


def test_names_agree(name):
    family, config = FAMILIES.get(name), CONFIGS.get(name)
    assert issubclass(family, ModelFamily)
    assert issubclass(config, ConfigSection)
    assert family.name == name
    assert config.model_validate({"name": name}).name == name
    assert family.output_space


def test_configuration_survives_json(name):
    config = CONFIGS.get(name).model_validate({"name": name, **SET_UPS[name]})
    assert CONFIGS.get(name).model_validate_json(config.model_dump_json()) == config


def test_training_reports_every_weighted_term_and_moves_the_weights(name, data):
    family = build(name, data)
    before = family.model.get_weights()
    history = train(family, data).history
    terms = [f"{term}_loss" for term in family.model.objective.weights]
    assert set(history) == {"loss", "val_loss", *terms, *(f"val_{term}" for term in terms)}
    assert np.isfinite(list(history.values())).all()
    assert any((old != new).any() for old, new in zip(before, family.model.get_weights(), strict=True))


def test_reconstruction_weight_can_be_replaced(name, data):
    family = build(name, data)
    configured = dict(family.model.objective.weights)
    family.compile(build_optimizer("Adam", 1e-3, {}), jit_compile=False, reconstruction_weight=3.5)
    changed = {term for term, weight in family.model.objective.weights.items() if weight != configured[term]}
    assert len(changed) == 1
    assert family.model.objective.weights[changed.pop()] == 3.5


def test_same_seed_same_training_other_seed_another(name, data):
    first, again, other = build(name, data, 1), build(name, data, 1), build(name, data, 2)
    assert same_weights(first, again)
    assert not same_weights(first, other)
    for family in (first, again):
        train(family, data)
    assert same_weights(first, again)


def test_saved_and_loaded_is_the_same_model(name, data, tmp_path):
    family = build(name, data)
    train(family, data)
    save_checkpoint(tmp_path / "best.hdf5", family, Checkpoint(1), with_state=False)
    loaded, _ = load_family(tmp_path / "best.hdf5")
    assert type(loaded) is type(family)
    assert loaded.config == family.config
    assert loaded.data.batches == BATCHES
    assert same_weights(family, loaded)


def test_training_is_taken_up_bit_for_bit(name, data, tmp_path):
    at_once, first, second = (build(name, data) for _ in range(3))
    train(at_once, data, range(2))
    train(first, data, range(1))
    save_checkpoint(tmp_path / "state.hdf5", first, Checkpoint(1), with_state=True)
    load_weights(tmp_path / "state.hdf5", second.model)
    load_state(tmp_path / "state.hdf5", second.model)
    train(second, data, range(1, 2))
    assert same_weights(at_once, second)


def test_variables_with_a_batch_axis_have_one_row_per_batch(name, data):
    family = build(name, data)
    weights = {id(weight) for weight in family.model.weights}
    for variable in family.variables_with_batch_axis():
        assert variable.shape[0] == len(BATCHES)
        assert id(variable) in weights


def test_other_weights_do_not_know_the_number_of_batches(name, data):
    """Online training keeps them all: they must have the same shapes for one batch more."""
    config = CONFIGS.get(name).model_validate({"name": name, **SET_UPS[name]})
    shapes = []
    for batches in (BATCHES, (*BATCHES, "b3")):
        family = FAMILIES.get(name)(config, DataDescription(N_GENES, batches, 36, data.transform))
        grown = {variable.path for variable in family.variables_with_batch_axis()}
        shapes.append({weight.path: tuple(weight.shape) for weight in family.model.weights if weight.path not in grown})
    assert shapes[0] == shapes[1]


def test_one_training_cell_and_one_validation_cell_are_enough(name, data):
    family = build(name, data)
    cells = [MemorySource(data, BATCHES, data.cells_of(split)[:1]) for split in ("train", "valid")]
    history = fit(family, *cells, batch_size=12, seed=0, epochs=range(2)).history
    assert np.isfinite(list(history.values())).all()
    assert all(np.isfinite(weight).all() for weight in family.model.get_weights())


def test_a_new_batch_leaves_the_old_ones_as_they_are_when_all_else_is_frozen(name, data):
    """Cells of old batches are among those trained on, and the optimizer decays and averages weights."""
    config = CONFIGS.get(name).model_validate({"name": name, **SET_UPS[name]})
    old, new = (
        FAMILIES.get(name)(config, DataDescription(N_GENES, batches, 36, data.transform), seed)
        for seed, batches in enumerate((BATCHES[:2], BATCHES))
    )
    if not new.variables_with_batch_axis():
        with pytest.raises(ParametersError, match="nothing to train"):
            widen(old, new, freeze_mode="new-batches")
        return
    before = old.model.get_weights()
    widen(old, new, new_rows="mean", freeze_mode="new-batches")
    new.compile(build_optimizer("AdamW", 1e-3, {"weight_decay": 0.1, "use_ema": True}), jit_compile=False)
    new.model.run_eagerly = True
    train(new, data)
    grown = {variable.path for variable in new.variables_with_batch_axis()}
    for variable, value in zip(new.model.weights, before, strict=True):
        after = variable.numpy()
        if variable.path in grown:
            np.testing.assert_array_equal(after[:2], value)
            assert (after[2] != value.mean(axis=0)).any()
        else:
            np.testing.assert_array_equal(after, value)
    labels = np.eye(3, dtype=np.float32)[np.arange(6) % 2]
    if isinstance(new, Encodes):
        expression = np.random.default_rng(0).normal(size=(6, N_GENES)).astype(np.float32)
        np.testing.assert_array_equal(new.encode(expression, labels).mean, old.encode(expression, labels[:, :2]).mean)
    if isinstance(new, Decodes):
        codes = np.random.default_rng(1).normal(size=(6, SET_UPS[name]["latent_dim"])).astype(np.float32)
        after, value = new.decode(codes, labels), old.decode(codes, labels[:, :2])
        np.testing.assert_array_equal(after.expression, value.expression)
        np.testing.assert_array_equal(after.probability, value.probability)


def test_encodes_and_decodes_what_it_says(name, data):
    family = build(name, data)
    expression = family.transform().dense(data.layers["counts"], data.obs["n_counts"].to_numpy())
    labels = np.eye(3, dtype=np.float32)[data.obs["batch"].cat.codes]
    if isinstance(family, Encodes):
        latent = family.encode(expression, labels)
        assert latent.mean.shape[0] == data.n_obs
        assert latent.log_std is None or latent.log_std.shape == latent.mean.shape
        np.testing.assert_allclose(family.encode(expression[:5], labels[:5]).mean, latent.mean[:5], atol=1e-5)
    if isinstance(family, Decodes):
        rng = np.random.default_rng(0)
        width = latent.mean.shape[1] if isinstance(family, Encodes) else SET_UPS[name]["latent_dim"]
        codes = rng.normal(size=(6, width)).astype(np.float32)
        decoded = family.decode(codes, np.full((6, 3), 1 / 3, np.float32))
        assert decoded.expression.shape == (6, N_GENES)
        assert (decoded.expression >= 0).all()
        if decoded.probability is not None:
            assert ((decoded.probability >= 0) & (decoded.probability <= 1)).all()


def test_projects_cells(name, data):
    family = build(name, data)
    if not isinstance(family, Reconstructs):
        pytest.skip(f"family '{name}' does not reconstruct")
    projected = reconstruct_cells(family, data, Target("batch", "b1"))
    assert projected.shape == data.shape
    assert np.isfinite(projected.X.sum())
