import copy
import json
import subprocess
import sys
import textwrap

import anndata
import numpy as np
import pytest
from scipy import sparse

from discern.errors import DataError, ExperimentError, MissingParameterError, ParametersError
from discern.io.data import DISCERNData
from discern.preprocessing import WAERecipe, read_process_serialize
from discern.preprocessing.config import InputConfig


@pytest.fixture
def inputs(make_adata):
    return {"low": make_adata(80), "high": make_adata(60, seed=1)}


@pytest.fixture
def recipe(parameters, inputs):
    return WAERecipe(parameters, inputs=inputs)


def test_calling_runs_all_steps(recipe):
    assert recipe() is recipe
    data = recipe.sc_raw
    assert isinstance(data, DISCERNData)
    assert data.batch_size == 192
    assert {"batch", "dataset", "celltype", "n_genes", "n_counts", "split", "for_mmd"} <= set(data.obs)
    assert {"n_cells", "mean_scaling", "var_scaling", "pca_genes", "highly_variable"} <= set(data.var)
    assert data.varm["PCs"].shape == (data.n_vars, 32)
    assert data.uns["fixed_scaling"] == {"mean": "genes", "var": "genes"}
    assert recipe.config == data.config
    assert recipe.config["batch_key"] == {"0": "low", "1": "high"}
    assert recipe.config["scale"] == {"LSN": 1000}
    assert recipe.config["common_genes_count"] == data.n_vars


def test_expression_is_sparse_logarithmic_and_never_scaled(recipe):
    data = recipe().sc_raw
    counts = data.layers["counts"]
    assert sparse.issparse(data.X)
    assert sparse.issparse(counts)
    assert data.X.dtype == counts.dtype == np.float32
    dense = counts.toarray().astype(np.float64)
    np.testing.assert_allclose(data.X.toarray(), np.log1p(dense * 1000 / dense.sum(axis=1, keepdims=True)), rtol=1e-5)
    assert (counts.data == np.rint(counts.data)).all()


def test_changing_expression_in_place_leaves_the_counts(recipe):
    data = recipe().sc_raw
    before = data.layers["counts"].toarray()
    assert not np.shares_memory(data.X.indptr, data.layers["counts"].indptr)
    data.X.data[::2] = 0
    data.X.eliminate_zeros()
    np.testing.assert_array_equal(data.layers["counts"].toarray(), before)


@pytest.mark.parametrize("as_matrix", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_inputs_of_any_form_give_the_same_and_stay_as_they_are(parameters, inputs, recipe, as_matrix):
    given = {
        name: anndata.AnnData(as_matrix(adata.X.toarray()), obs=adata.obs.copy(), var=adata.var.copy())
        for name, adata in inputs.items()
    }
    before, parameters_before = copy.deepcopy(given), copy.deepcopy(parameters)
    data = WAERecipe(parameters, inputs=given)().sc_raw
    assert parameters == parameters_before
    assert set(given) == set(before)
    for name, adata in given.items():
        assert type(adata.X) is type(before[name].X)
        assert np.array_equal(as_dense(adata.X), as_dense(before[name].X))
        assert adata.obs.equals(before[name].obs)
        assert adata.var.equals(before[name].var)
        assert not adata.uns
        assert not adata.layers
    assert (data.X != recipe().sc_raw.X).nnz == 0


def as_dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else matrix


def test_same_seed_same_result_and_the_global_generator_is_untouched(parameters, inputs):
    np.random.seed(7)  # noqa: NPY002 - the state a user may have set
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (WAERecipe(parameters, inputs=inputs)() for _ in range(2))
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert first.config == second.config
    assert first.sc_raw.obs.equals(second.sc_raw.obs)
    assert (first.sc_raw.varm["PCs"] == second.sc_raw.varm["PCs"]).all()
    other = WAERecipe({**parameters, "split": {"split_seed": 1}}, inputs=inputs)()
    assert list(other.sc_raw.obs["split"]) != list(first.sc_raw.obs["split"])


@pytest.mark.parametrize("wrap", [lambda section: {"input_ds": section, "model": {}}, InputConfig.model_validate])
def test_parameters_of_an_experiment_or_a_validated_section(parameters, inputs, recipe, wrap):
    other = WAERecipe(wrap(parameters), inputs=inputs)
    assert other.settings == recipe.settings
    assert other.params["filtering"] == parameters["filtering"]


def test_parameters_are_copied(recipe, parameters):
    recipe.params["filtering"]["min_genes"] = 99
    assert parameters["filtering"]["min_genes"] == 5


def test_all_faults_of_the_parameters_are_told(inputs):
    with pytest.raises(
        ParametersError, match=r"input_ds\.split\.valid_cells(.|\n)*input_ds\.filterin: unknown key.*filtering"
    ):
        WAERecipe({"filterin": {}, "split": {"valid_cells": 1}}, inputs=inputs)


def test_no_data_named():
    with pytest.raises(ParametersError, match="raw_input"):
        WAERecipe({})
    with pytest.raises(ParametersError, match="`inputs` is empty"):
        WAERecipe({}, inputs={})


def test_without_library_size_expression_is_the_log_of_the_counts(parameters, inputs):
    recipe = WAERecipe({**parameters, "scale": {}}, inputs=inputs)()
    data = recipe.sc_raw
    np.testing.assert_allclose(data.X.toarray(), np.log1p(data.layers["counts"].toarray()), rtol=1e-6)
    assert (data.obs["n_counts"].to_numpy() == data.layers["counts"].toarray().sum(axis=1)).all()
    assert recipe.config["scale"] == {}
    assert "fixed_scaling" not in data.uns


def test_test_cells_and_unbalanced_split_reach_the_split(parameters, inputs):
    split = {"split_seed": 0, "valid_cells": 0.2, "test_cells": 0.1, "mmd_cells": 0.5, "balanced_split": False}
    data = WAERecipe({**parameters, "split": split}, inputs=inputs)().sc_raw
    counts = data.obs["split"].value_counts()
    assert counts["valid"] == int(0.2 * data.n_obs)
    assert counts["test"] == data.config["total_test_count"] == int(0.1 * data.n_obs)
    assert data.obs["for_mmd"].sum() == counts["valid"] // 2
    assert (data.obs.loc[data.obs["for_mmd"], "split"] == "valid").all()


def test_cells_whose_kept_genes_have_no_counts_are_removed(make_adata, parameters, caplog):
    matrix = make_adata(80).X.toarray()
    matrix[:, 55:] = 0
    matrix[3], matrix[4] = 0, 0
    matrix[3, 55:], matrix[4, 55:] = 1, 2  # five genes, which no other cell has
    adata = anndata.AnnData(sparse.csr_matrix(matrix), obs=make_adata(80).obs, var=make_adata(80).var)
    with caplog.at_level("WARNING"):
        recipe = WAERecipe(parameters, inputs={"one": adata})()
    assert "2 cells have no counts in the genes kept" in caplog.text
    assert np.isfinite(recipe.sc_raw.X.data).all()
    assert "cell0_3" not in recipe.sc_raw.obs_names
    assert recipe.config["total_count"] == recipe.sc_raw.n_obs == 78


def test_filter_that_leaves_nothing(recipe):
    with pytest.raises(DataError, match="No cell has 400 genes or more.*median.*min_genes"):
        recipe.filtering(400, 3)


def test_filter_that_leaves_nothing_of_one_batch(make_adata, parameters):
    poor = make_adata(30, seed=2)
    poor.X = sparse.csr_matrix(poor.X.multiply(np.arange(60) < 4))
    with pytest.raises(DataError, match=r"No cell of batch 'poor' \(30 cells\) has 5 genes or more"):
        WAERecipe(parameters, inputs={"rich": make_adata(80), "poor": poor})()


def test_batch_too_small_for_a_validation_cell(make_adata, parameters):
    inputs = {"large": make_adata(80), "small": make_adata(6, seed=1)}
    with pytest.raises(DataError, match=r"'small' \(6 cells\).*Use at least 0\.1667"):
        WAERecipe(parameters, inputs=inputs)()


@pytest.mark.parametrize(("n_cells", "n_genes", "words"), [(80, 28, r"genes \(28\)"), (30, 60, r"cells \(30\)")])
def test_too_few_cells_or_genes_for_the_components(make_adata, parameters, n_cells, n_genes, words):
    section = {**parameters, "filtering": {"min_genes": 1, "min_cells": 0}}
    with pytest.raises(DataError, match=f"too few {words} for 32 principal components"):
        WAERecipe(section, inputs={"one": make_adata(n_cells, n_genes)})()


def test_fewer_than_a_thousand_genes_are_all_used(recipe):
    assert recipe().sc_raw.var["pca_genes"].all()


def test_logarithms_are_refused_unless_allowed(parameters, inputs):
    logged = {name: anndata.AnnData(adata.X.log1p(), adata.obs, adata.var) for name, adata in inputs.items()}
    with pytest.raises(DataError, match="low.*not whole numbers.*log-transformed"):
        WAERecipe(parameters, inputs=logged)
    WAERecipe(parameters, inputs=logged, allow_non_counts=True)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "not finite"), (-1.0, "negative")])
def test_impossible_values_name_the_input(parameters, inputs, value, word):
    inputs["high"].X.data[5] = value
    with pytest.raises(DataError, match=f"high.*{word}"):
        WAERecipe(parameters, inputs=inputs)


def test_steps_do_not_depend_on_when_the_logarithm_is_taken(parameters, inputs, recipe):
    early = WAERecipe(parameters, inputs=inputs)
    for one in (recipe, early):
        one.filtering(5, 3)
        one.scaling({"LSN": 1000})
        if one is early:
            one.log1p()
            one.log1p()
        one.projection_pca(pcs=10)
        one.kernel_mmd(no_cells_mmd=60)
    assert early.config["mmd_kernel"]["all"] == pytest.approx(recipe.config["mmd_kernel"]["all"], rel=1e-5)
    np.testing.assert_allclose(early.sc_raw.varm["PCs"], recipe.sc_raw.varm["PCs"], atol=1e-5)
    np.testing.assert_allclose(early.sc_raw.X.toarray(), np.log1p(recipe.sc_raw.X.toarray()), rtol=1e-5)


def test_a_second_normalisation_starts_from_the_counts(recipe):
    counts = recipe.sc_raw.X.copy()
    recipe.scaling(500)
    recipe.log1p()
    recipe.scaling({"LSN": 2000})
    assert (recipe.sc_raw.layers["counts"] != counts).nnz == 0
    np.testing.assert_allclose(recipe.sc_raw.X.sum(axis=1), 2000, rtol=1e-5)
    recipe.log1p()
    assert recipe.sc_raw.X.data.max() < np.log1p(2000)


def test_kernel_without_components_says_what_to_call(recipe):
    with pytest.raises(DataError, match=r"projection_pca\(\) first"):
        recipe.kernel_mmd()


def test_published_default_numbers(recipe):
    recipe.filtering(5, 3)
    recipe.scaling({"LSN": 1000})
    recipe.split(0, 0.1)
    recipe.projection_pca()
    assert recipe.sc_raw.varm["PCs"].shape[1] == 25
    with pytest.raises(ParametersError, match=r"input_ds\.split\.valid_cells"):
        recipe.split(0, 1.0)


@pytest.fixture
def job(tmp_path, parameters, inputs):
    paths = [tmp_path / "a" / "cells.h5ad", tmp_path / "b" / "cells.h5ad"]
    for path, adata in zip(paths, inputs.values(), strict=True):
        path.parent.mkdir()
        adata.write_h5ad(path)
    folder = tmp_path / "job"
    folder.mkdir()
    section = {**parameters, "raw_input": [str(path) for path in paths]}
    (folder / "parameters.json").write_text(json.dumps({"input_ds": section, "model": {}}), encoding="utf-8")
    return folder


def test_a_folder_is_processed_and_written(job, caplog):
    with caplog.at_level("INFO"):
        read_process_serialize(job)
    data = DISCERNData.from_folder(job, batch_size=10)
    recipe = WAERecipe.from_path(job)()
    assert data.config == recipe.config
    assert (data.X != recipe.sc_raw.X).nnz == 0
    assert (data.layers["counts"] != recipe.sc_raw.layers["counts"]).nnz == 0
    assert list((job / "TF_records").glob("training*"))
    assert list((job / "TF_records").glob("validate*"))
    assert f"After filtering: {data.n_obs} cells, {data.n_vars} genes" in caplog.text


def test_records_can_be_left_out(job):
    read_process_serialize(job, with_tfrecords=False)
    assert (job / "processed_data" / "concatenated_data.h5ad").is_file()
    assert not (job / "TF_records").exists()


def test_inputs_of_the_same_stem_stay_apart(job):
    recipe = WAERecipe.from_path(job)
    assert recipe.sc_raw.n_obs == 140
    assert list(recipe.sc_raw.obs["batch"].cat.categories) == ["a_cells", "b_cells"]


def test_relative_paths_start_at_the_working_directory(job, monkeypatch, parameters):
    monkeypatch.chdir(job.parent)
    recipe = WAERecipe(parameters, input_files={"a/cells.h5ad": "celltype", "b/cells.h5ad": None})
    assert list(recipe.sc_raw.obs["batch"].cat.categories) == ["B", "T", "b_cells"]


def test_folder_without_usable_parameters(tmp_path):
    with pytest.raises(ExperimentError, match=r"parameters\.json does not exist"):
        WAERecipe.from_path(tmp_path)
    (tmp_path / "parameters.json").write_text("{", encoding="utf-8")
    with pytest.raises(ParametersError, match="no valid JSON"):
        WAERecipe.from_path(tmp_path)
    (tmp_path / "parameters.json").write_text('{"model": {}}', encoding="utf-8")
    with pytest.raises(MissingParameterError, match="no section 'input_ds'. Found: model"):
        WAERecipe.from_path(tmp_path)


def test_the_recipe_needs_neither_tensorflow_nor_scanpy(job):
    code = f"""
        import sys
        from discern.preprocessing import read_process_serialize
        read_process_serialize({str(job)!r})
        print(*({{"tensorflow", "keras", "scanpy", "ray"}} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
