"""The recipe, step by step, against the numbers of the published program."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import vstack

from discern.io import row_readers
from discern.preprocessing import WAERecipe
from discern.preprocessing.cells import OnDisk, Space
from discern.scaling import gene_scaling
from discern.workers import ThisProcess

TOLERANCE = 5e-6
PARAMETERS = {
    "filtering": {"min_genes": 100, "min_cells": 3},
    "scale": {"LSN": 20000, "fixed_scaling": {"mean": "genes", "var": "genes"}},
    "split": {"split_seed": 0, "valid_cells": 0.1, "balanced_split": True, "test_cells": 0},
    "n_cpus_preprocessing": 20,
}


def assert_close(ours, golden, tolerance=TOLERANCE):
    ours, golden = np.asarray(ours, dtype=np.float64), np.asarray(golden, dtype=np.float64)
    assert ours.shape == golden.shape
    assert np.abs(ours - golden).max() <= tolerance * np.abs(golden).max()


@pytest.fixture(scope="module")
def golden(golden_dir):
    with np.load(golden_dir / "preprocessing.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def files(golden_dir):
    return [golden_dir / f"input_b{i}.h5ad" for i in range(3)]


def matrix(recipe, space):
    """All cells of a recipe, dense, whether they are in memory or on disk."""
    return np.concatenate([run.toarray() for run in recipe._cells.runs(lambda chunks: vstack(list(chunks)), space, "")])


@pytest.fixture(scope="module", params=["in memory", "on disk"])
def steps(request, files, tmp_path_factory):
    """The recipe after all steps, and what it held in between."""
    place = OnDisk(tmp_path_factory.mktemp("counts"), ThisProcess()) if request.param == "on disk" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_readers, "MAX_CELLS", 90)  # several pieces, of a size that divides no batch
        recipe = WAERecipe(PARAMETERS, input_files=files, on_disk=place)
    seen = SimpleNamespace(recipe=recipe)
    seen.raw_X = matrix(recipe, Space.COUNTS)
    seen.raw = recipe.sc_raw.obs.copy()
    seen.raw_genes = recipe.sc_raw.var_names.copy()
    recipe.filtering(100, 3)
    recipe.celltypes()
    recipe.scaling({"LSN": 20000})
    seen.lsn_X = matrix(recipe, Space.EXPRESSION)
    recipe.split(0, 0.1)
    seen.generator = recipe._rng.get_state()
    recipe.projection_pca(pcs=32)
    recipe.log1p()
    recipe._rng.set_state(seen.generator)
    recipe.kernel_mmd(no_cells_mmd=200)
    seen.kernel_200 = recipe.config["mmd_kernel"]["all"]
    recipe._rng.set_state(seen.generator)
    recipe.kernel_mmd(no_cells_mmd=10_000)
    seen.kernel = recipe.config["mmd_kernel"]["all"]
    recipe.highly_variable_genes()
    recipe.mean_var_scaling()
    return seen


def test_merged_counts(steps, golden):
    assert (steps.raw_X == golden["raw_X"]).all()
    assert list(steps.raw_genes) == list(golden["raw_var_names"])
    assert list(steps.raw.index) == list(golden["raw_obs_names"])
    assert list(steps.raw["batch"]) == list(golden["raw_batch"])


def test_filter(steps, golden):
    data = steps.recipe.sc_raw
    assert list(data.obs_names) == list(golden["filt_obs_names"])
    assert list(data.var_names) == list(golden["filt_var_names"])
    assert (data.obs["n_genes"].to_numpy() == golden["filt_n_genes"]).all()
    assert (data.var["n_cells"].to_numpy() == golden["filt_n_cells"]).all()


def test_library_size_normalisation(steps, golden):
    assert (steps.lsn_X == golden["lsn_X"]).all()
    assert (steps.recipe.sc_raw.obs["n_counts"].to_numpy() == golden["n_counts"]).all()
    kept = np.isin(golden["raw_obs_names"], golden["filt_obs_names"])
    genes = np.isin(golden["raw_var_names"], golden["filt_var_names"])
    assert (matrix(steps.recipe, Space.COUNTS) == golden["raw_X"][np.ix_(kept, genes)]).all()


def test_split_and_its_generator(steps, golden):
    obs = steps.recipe.sc_raw.obs
    assert list(obs["split"]) == list(golden["split"])
    assert list(obs["split"].cat.categories) == ["train", "valid"]
    assert (obs["for_mmd"].to_numpy() == golden["for_mmd"]).all()
    assert (steps.generator[1] == golden["rng_keys_after_split"]).all()
    assert steps.generator[2] == golden["rng_pos_after_split"]


@pytest.mark.parametrize(("size", "name"), [(588, "mmd_cells_order"), (200, "mmd_cells_200")])
def test_cells_of_the_kernel(steps, golden, monkeypatch, size, name):
    drawn = []
    chosen = steps.recipe._cells.chosen

    def remember(function, cells, space):
        drawn.append(cells)
        return chosen(function, cells, space)

    monkeypatch.setattr(steps.recipe._cells, "chosen", remember)
    steps.recipe._rng.set_state(steps.generator)
    steps.recipe.kernel_mmd(no_cells_mmd=size)
    assert (drawn[0] == golden[name]).all()


def test_mean_and_deviation(steps, golden):
    var = steps.recipe.sc_raw.var
    assert_close(var["mean_scaling"], golden["mean_scaling"], 1e-7)
    assert_close(var["var_scaling"], golden["var_scaling"], 1e-7)
    assert var["mean_scaling"].dtype == var["var_scaling"].dtype == np.float64


def test_genes_of_the_components(steps, golden):
    assert (steps.recipe.sc_raw.var["pca_genes"].to_numpy() == golden["pca_genes"]).all()


def test_components(steps, golden):
    ours, theirs = steps.recipe.sc_raw.varm["PCs"], golden["PCs"]
    assert ours.dtype == np.float64
    assert (ours[~golden["pca_genes"]] == 0).all()
    cosines = np.linalg.svd(ours.T @ theirs, compute_uv=False)
    assert cosines.min() > 1 - TOLERANCE
    # The published solver works in float32: its loadings are this far from an exact decomposition of its own data.
    assert_close(ours * np.sign((ours * theirs).sum(axis=0)), theirs, 1.5e-4)


def test_components_are_the_exact_ones_of_the_published_scaled_expression(steps, golden):
    used = golden["pca_genes"]
    exact = np.linalg.svd(golden["scaled_X"][:, used].astype(np.float64), full_matrices=False)[2][:32].T
    assert_close(np.abs(steps.recipe.sc_raw.varm["PCs"][used]), np.abs(exact))


def test_logarithm(steps, golden):
    assert_close(matrix(steps.recipe, Space.LOG_EXPRESSION), golden["log1p_X"], 1e-6)


def test_kernel(steps, golden):
    assert steps.kernel == pytest.approx(float(golden["mmd_kernel"]), rel=TOLERANCE)
    assert steps.kernel_200 == pytest.approx(float(golden["mmd_kernel_200"]), rel=TOLERANCE)


def test_highly_variable_genes(steps, golden):
    var = steps.recipe.sc_raw.var
    assert (var["highly_variable"].to_numpy() == golden["final_highly_variable"]).all()
    assert_close(var["means"], golden["final_means"])
    assert_close(var["dispersions"], golden["final_dispersions"])
    assert_close(var["dispersions_norm"], golden["final_dispersions_norm"])


def test_recorded_scaling_gives_the_published_scaled_expression(steps, golden):
    data = steps.recipe.sc_raw
    assert data.uns["fixed_scaling"] == {"mean": "genes", "var": "genes"}
    scaling = gene_scaling(data.var, data.uns["fixed_scaling"])
    assert_close(scaling.scale(matrix(steps.recipe, Space.LOG_EXPRESSION)), golden["scaled_X"])
    assert_close(scaling.zeros, golden["zeros"])


def test_whole_recipe_records_the_published_config(files, golden_dir):
    config = WAERecipe({"input_ds": PARAMETERS}, input_files=files)().config
    published = json.loads((golden_dir / "preprocessing_config.json").read_text(encoding="utf-8"))
    assert config.pop("mmd_kernel") == pytest.approx(published.pop("mmd_kernel"), rel=TOLERANCE)
    assert config == published
    assert type(config["total_count"]) is int
    assert type(config["batch_ratios"]["input_b0"]) is float
