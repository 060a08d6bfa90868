"""Training with nothing free but the rows of new batches: old batches stay as they were, to the bit."""

import anndata
import keras
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.io.cell_sources import MemorySource
from discern.io.data import DISCERNData
from discern.layers.batch_rows import BatchRows
from discern.models.contract import DataDescription, ModelFamily
from discern.models.termwise import TermwiseModel
from discern.models.wae.config import WAEConfig
from discern.models.wae.family import WAEFamily
from discern.online_learning.widening import widen
from discern.optimizers.build import build_optimizer
from discern.projection.reconstruct import reconstruct_cells
from discern.projection.targets import Target
from discern.registry import OPTIMIZERS
from discern.training.checkpoints import Checkpoint, load_family, save_checkpoint
from discern.training.fit import fit
from discern.training.precision import computing_in, optimizer_for

BATCHES, N_OLD, N_GENES = ("b0", "b1", "new"), 2, 10
MODEL = {  # weights of the terms about 1, so that no optimizer diverges
    "reconstruction_weight": 1.0,
    "weighting_decoder_dropout": 1.0,
    "wae_lambda": 0.1,
    "latent_dim": 3,
    "layers": [5],
    "regularization": 0.2,
    "conditional_regularization": {"name": "L1L2", "l1": 0.1, "l2": 0.1},
}


def cells_of(batches: tuple[str, ...], n_cells: int = 30, seed: int = 0) -> DISCERNData:
    """Processed cells, equally many of each batch; the scaling is the same whatever the batches."""
    rng = np.random.default_rng(seed)
    counts = sparse.csr_matrix(rng.poisson(1.5, (n_cells, N_GENES)).astype(np.float32) + np.eye(n_cells, N_GENES))
    library_size = np.asarray(counts.sum(axis=1)).ravel().astype(np.float32)
    logged = sparse.csr_matrix(counts.multiply(1000 / library_size[:, None])).log1p().astype(np.float32)
    names = np.array(batches)[np.arange(n_cells) % len(batches)]
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(names, [name for name in BATCHES if name in batches]),
            "split": np.where(np.arange(n_cells) < 6, "valid", "train"),
            "n_counts": library_size,
        },
        index=[f"cell{i}" for i in range(n_cells)],
    )
    var = pd.DataFrame(
        {"mean_scaling": np.linspace(2, 3, N_GENES), "var_scaling": np.linspace(1, 2, N_GENES)},
        index=[f"g{i}" for i in range(N_GENES)],
    )
    uns = {"DISCERN": {"scale": {"LSN": 1000.0}}, "fixed_scaling": {"mean": "genes", "var": "genes"}}
    return DISCERNData(anndata.AnnData(logged, obs, var, uns, layers={"counts": counts}), batch_size=8)


def family_of(batches: tuple[str, ...], data: DISCERNData, seed: int = 0) -> WAEFamily:
    return WAEFamily(WAEConfig.model_validate(MODEL), DataDescription(N_GENES, batches, 24, data.transform), seed)


def train(
    made: ModelFamily, data: DISCERNData, optimizer: keras.Optimizer, epochs: int = 1, eager: bool = True, batch_size=8
):
    made.compile(optimizer, jit_compile=False)
    made.model.run_eagerly = eager
    sources = [MemorySource(data, made.data.batches, data.cells_of(split)) for split in ("train", "valid")]
    fit(made, *sources, batch_size=batch_size, seed=0, epochs=range(epochs))


def weights(made: ModelFamily) -> dict[str, np.ndarray]:
    return {variable.path: variable.numpy().copy() for variable in made.model.weights}


def seen_as_before(made: WAEFamily, n_batches: int) -> list[np.ndarray]:
    """Codes of cells of the old batches, and what these codes are decoded to in the old batches."""
    rng = np.random.default_rng(5)
    cells, codes = (rng.normal(size=(9, width)).astype(np.float32) for width in (N_GENES, 3))
    labels = np.eye(n_batches, dtype=np.float32)[np.arange(9) % N_OLD]
    latent, decoded = made.encode(cells, labels), made.decode(codes, labels)
    return [latent.mean, latent.log_std, decoded.expression, decoded.probability]


def assert_same_bits(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_only_new_rows_changed(after: dict[str, np.ndarray], before: dict[str, np.ndarray], kernels: set[str]):
    for path, value in before.items():
        if path in kernels:
            np.testing.assert_array_equal(after[path][:N_OLD], value[:N_OLD], err_msg=path)
            assert np.isfinite(after[path]).all()
            assert (after[path][N_OLD:] != value[N_OLD:]).any(), path
        else:
            np.testing.assert_array_equal(after[path], value, err_msg=path)


@pytest.fixture(scope="module")
def all_cells():
    """Cells of all batches, so that old ones are in every minibatch."""
    return cells_of(BATCHES)


@pytest.fixture(scope="module")
def old():
    """A model of the old batches, trained; not to be changed."""
    data = cells_of(BATCHES[:N_OLD])
    made = family_of(BATCHES[:N_OLD], data, seed=3)
    train(made, data, build_optimizer("Adam", 0.02, {}), epochs=2)
    return made


@pytest.fixture(scope="module")
def widened(old, all_cells):
    """The frozen model and its weights before training."""
    made = family_of(BATCHES, all_cells, seed=4)
    widen(old, made, freeze_mode="new-batches")
    return made, weights(made)


@pytest.fixture
def frozen(widened):
    """The frozen model as it is before training."""
    made, before = widened
    for variable in made.model.weights:
        variable.assign(before[variable.path])
    return made


EVERY = {"weight_decay": 0.1, "clipnorm": 0.5, "use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3}
SETTINGS = [
    *((name, EVERY, bool(number % 2)) for number, name in enumerate(OPTIMIZERS.entries)),
    ("RectifiedAdam", {}, True),
    ("Adam", {}, False),
    ("RectifiedAdam", {"amsgrad": True, "global_clipnorm": 0.1, "weight_decay": 0.1}, False),
    ("RectifiedAdam", {"beta_2": 0.5, "total_steps": 3, "warmup_proportion": 0.3, "min_lr": 0.01}, True),
    ("RectifiedAdam", {"gradient_accumulation_steps": 2, "weight_decay": 0.1, "use_ema": True}, True),
    ("Adam", {"amsgrad": True, "clipvalue": 0.01, "use_ema": True, "ema_momentum": 0.5}, False),
    ("SGD", {"momentum": 0.9, "nesterov": True, "gradient_accumulation_steps": 2, "weight_decay": 0.1}, False),
    ("RMSprop", {"momentum": 0.5, "centered": True, "use_ema": True}, False),
]


@pytest.mark.parametrize(("name", "arguments", "lookahead"), SETTINGS)
def test_old_batches_stay_to_the_bit(old, widened, frozen, all_cells, name, arguments, lookahead):
    # eight steps: past the first synchronisation of Lookahead
    train(frozen, all_cells, build_optimizer(name, 0.05, arguments, lookahead=lookahead), batch_size=3)
    kernels = {variable.path for variable in frozen.variables_with_batch_axis()}
    assert_only_new_rows_changed(weights(frozen), widened[1], kernels)
    assert_same_bits(seen_as_before(frozen, len(BATCHES)), seen_as_before(old, N_OLD))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_compiled_and_in_half_precision_and_from_a_checkpoint(old, all_cells, precision, tmp_path):
    with computing_in(precision):
        made = family_of(BATCHES, all_cells, seed=4)
    widen(old, made, new_rows="mean", freeze_mode="new-batches")
    before = weights(made)
    arguments = {"weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.7, "global_clipnorm": 1.0}
    optimizer = optimizer_for(precision, build_optimizer("RectifiedAdam", 0.05, arguments, lookahead=True))
    train(made, all_cells, optimizer, epochs=3, eager=False)
    kernels = {variable.path for variable in made.variables_with_batch_axis()}
    assert_only_new_rows_changed(weights(made), before, kernels)
    save_checkpoint(tmp_path / "best.hdf5", made, Checkpoint(), with_state=True)
    loaded, _ = load_family(tmp_path / "best.hdf5")
    assert_same_bits(weights(loaded).values(), weights(made).values())
    assert len(loaded.model.trainable_variables) == len(loaded.model.weights)
    assert all(variable.constraint is None for variable in loaded.model.weights)
    assert_same_bits(seen_as_before(loaded, len(BATCHES)), seen_as_before(old, N_OLD))


def test_old_cells_are_projected_to_old_batches_as_before(old, frozen, all_cells):
    train(frozen, all_cells, build_optimizer("RectifiedAdam", 0.05, {"weight_decay": 0.1}), epochs=2)
    data = cells_of(BATCHES[:N_OLD], seed=7)
    for target in (Target(), Target("batch", "b1")):
        before, after = reconstruct_cells(old, data, target), reconstruct_cells(frozen, data, target)
        np.testing.assert_array_equal(after.obsm["X_DISCERN"], before.obsm["X_DISCERN"])
        for layer in ("estimated_counts", "estimated_dropouts"):
            np.testing.assert_array_equal(after.layers[layer], before.layers[layer])


@pytest.mark.parametrize("arguments", [{"clipnorm": 0.5}, {"global_clipnorm": 0.5}, {"clipvalue": 0.5}])
def test_minibatches_without_cells_of_new_batches_change_nothing(widened, frozen, arguments):
    train(frozen, cells_of(BATCHES[:N_OLD]), build_optimizer("RectifiedAdam", 0.05, arguments))
    assert_same_bits(weights(frozen).values(), widened[1].values())


def test_norms_of_gradients_see_only_what_is_trained(frozen, all_cells):
    """With old cells in the minibatch the step of the new rows is that of a norm over these rows alone."""
    frozen.compile(build_optimizer("SGD", 1.0, {"global_clipnorm": 1e-3}), jit_compile=False)
    frozen.model.run_eagerly = True
    source = MemorySource(all_cells, BATCHES, all_cells.cells_of("train"))
    before = weights(frozen)
    fit(frozen, source, source, batch_size=24, seed=0, epochs=range(1))
    steps = [weights(frozen)[path] - before[path] for path in sorted(before)]
    np.testing.assert_allclose(np.sqrt(sum((step.astype("float64") ** 2).sum() for step in steps)), 1e-3, rtol=1e-3)


def test_conditional_trains_old_rows_too(old, all_cells):
    made = family_of(BATCHES, all_cells, seed=4)
    widen(old, made, freeze_mode="conditional")
    before, kernels = weights(made), {variable.path for variable in made.variables_with_batch_axis()}
    train(made, all_cells, build_optimizer("Adam", 0.05, {}))
    for path, value in weights(made).items():
        if path in kernels:
            assert (value != before[path]).any(axis=1).all()
        else:
            np.testing.assert_array_equal(value, before[path])


class RowsWithin(BatchRows, keras.layers.Layer):
    """A layer within another one: a row for each batch, and a variable of its own without a batch axis."""

    def build(self, shape):
        self.table = self.add_weight(shape=(shape[1][1], shape[0][1]), initializer="ones", name="table")
        self.slope = self.add_weight(shape=(), initializer="ones", name="slope")

    @property
    def variables_with_batch_axis(self):
        return (self.table,)

    def call(self, inputs):
        return inputs[0] * self.slope * keras.ops.matmul(inputs[1], self.rows(self.table))


class Block(keras.layers.Layer):
    """Normalises with moving statistics, multiplies by rows of batches and adds a variable of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.within = keras.layers.BatchNormalization(name="norm"), RowsWithin(name="rows")

    def build(self, shape):
        self.norm.build(shape[0])
        self.within.build(shape)
        self.offset = self.add_weight(shape=(shape[0][1],), initializer="zeros", name="offset")

    def call(self, inputs, training=False):
        return self.within([self.norm(inputs[0], training=training), inputs[1]]) + self.offset


class SumOfSquares:
    weights = {"error": 1.0}

    def terms(self, inputs, targets, outputs):
        return {"error": keras.ops.mean(keras.ops.square(outputs - targets), axis=-1)}


class BlockFamily(ModelFamily):
    """Layers with batch axes within layers, which no family of the catalog has."""

    name = "block"
    output_space = "none"

    def build(self, seed):
        keras.utils.set_random_seed(seed)
        cells = keras.Input((N_GENES,), name="cells")
        labels = keras.Input((self.data.n_batches,), name="labels")
        blocks = keras.Model([cells, labels], Block(name="block")([cells, labels]), name="blocks")
        decoded = keras.layers.Dense(N_GENES, name="decoded")(blocks([cells, labels]))
        return TermwiseModel({"cells": cells, "labels": labels}, decoded, name="family")

    def transform(self):
        return self.data.transform

    def model_input(self, minibatch):
        cells, labels = minibatch["expression"], minibatch["batch"]
        return {"cells": cells, "labels": labels}, cells

    def compile(self, optimizer, jit_compile, reconstruction_weight=None):
        self.model.compile_objective(SumOfSquares(), optimizer, jit_compile)


def test_layers_within_layers_of_any_family_are_frozen_with_their_statistics(all_cells):
    old, made = (
        BlockFamily(WAEConfig(), DataDescription(N_GENES, batches, 24, all_cells.transform), seed)
        for seed, batches in enumerate((BATCHES[:N_OLD], BATCHES))
    )
    rng = np.random.default_rng(0)
    for variable in old.model.weights:
        variable.assign(rng.uniform(0.5, 2.0, variable.shape))
    widen(old, made, freeze_mode="new-batches")
    before = weights(made)
    assert [variable.path for variable in made.model.trainable_variables] == ["block/rows/table"]
    train(made, all_cells, build_optimizer("AdamW", 0.05, {"weight_decay": 0.1}))
    assert_only_new_rows_changed(weights(made), before, {"block/rows/table"})
