import logging

import numpy as np
import pytest
from anndata import AnnData

from discern.errors import DataError
from discern.online_learning import OnlineWAERecipe


def dense(matrix):
    return matrix.toarray().astype(np.float64)


@pytest.fixture(scope="module")
def recipe(reference, input_section, input_paths):
    return OnlineWAERecipe(reference, input_section, input_files=[input_paths[2]])()


def test_a_new_batch_is_appended_after_the_known_ones(recipe):
    assert recipe.sc_raw.batches == ["input_b0", "input_b1", "input_b2"]
    assert set(recipe.sc_raw.obs["batch"]) == {"input_b2"}
    assert recipe.config["batch_key"] == {"0": "input_b0", "1": "input_b1", "2": "input_b2"}


def test_everything_learned_from_the_reference_stays(recipe, reference):
    data = recipe.sc_raw
    assert list(data.var_names) == list(reference.var_names)
    for column in ("mean_scaling", "var_scaling", "pca_genes", "highly_variable"):
        np.testing.assert_array_equal(data.var[column], reference.var[column])
    np.testing.assert_array_equal(data.varm["PCs"], reference.varm["PCs"])
    np.testing.assert_array_equal(data.zeros, reference.zeros)
    assert recipe.config["scale"] == reference.config["scale"] == {"LSN": 20000}
    assert recipe.config["mmd_kernel"] == reference.config["mmd_kernel"]


def test_expression_is_normalised_over_the_genes_of_the_reference(recipe, reference, query):
    kept = dense(query.X)
    kept = kept[(kept > 0).sum(axis=1) >= 100]
    counts = np.stack([kept[:, list(query.var_names).index(name)] for name in reference.var_names], axis=1)
    np.testing.assert_array_equal(dense(recipe.sc_raw.layers["counts"]), counts)
    totals = counts.sum(axis=1)
    np.testing.assert_allclose(recipe.sc_raw.obs["n_counts"], totals, rtol=1e-6)
    np.testing.assert_allclose(dense(recipe.sc_raw.X), np.log1p(counts * 20000 / totals[:, None]), rtol=1e-5)


def test_the_library_size_of_the_reference_wins(reference, input_section, input_paths, recipe):
    other = OnlineWAERecipe(reference, {**input_section, "scale": {"LSN": 10}}, input_files=[input_paths[2]])()
    np.testing.assert_array_equal(dense(other.sc_raw.X), dense(recipe.sc_raw.X))
    assert other.sc_raw.uns["fixed_scaling"] == {"mean": "genes", "var": "genes"}


def test_cells_are_filtered_over_all_their_genes(recipe, query, reference):
    counts = dense(query.X)
    in_all_genes = (counts > 0).sum(axis=1)
    known = query.var_names.isin(reference.var_names)
    assert not known.all()
    assert (recipe.sc_raw.obs["n_genes"].to_numpy() == in_all_genes[in_all_genes >= 100]).all()
    assert recipe.sc_raw.n_obs < query.n_obs


def test_cells_are_split_as_process_does(recipe):
    roles = recipe.sc_raw.obs["split"]
    assert (roles == "valid").sum() == int(0.1 * recipe.sc_raw.n_obs) == recipe.config["total_valid_count"]
    assert recipe.config["valid_cells_no"] == {"input_b2": (roles == "valid").sum()}
    np.testing.assert_array_equal(recipe.sc_raw.obs["for_mmd"], roles == "valid")


def test_a_known_batch_keeps_its_index_and_is_pointed_out(reference, input_section, input_paths, caplog):
    with caplog.at_level(logging.WARNING):
        recipe = OnlineWAERecipe(reference, input_section, input_files=[input_paths[1]])()
    assert recipe.sc_raw.batches == ["input_b0", "input_b1"]
    assert set(recipe.sc_raw.obs["batch"].cat.codes) == {1}
    assert "Batch input_b1 is known" in caplog.text


def test_known_and_new_batches_may_come_in_any_order(reference, input_section, query):
    names = np.array(["zebra", "input_b1", "ant"])[np.arange(query.n_obs) % 3]
    query.obs["batch"] = names
    data = OnlineWAERecipe(reference, input_section, inputs={"query": query})().sc_raw
    assert data.batches == ["input_b0", "input_b1", "ant", "zebra"]
    assert list(data.obs["batch"].astype(str)) == list(names[np.isin(query.obs_names, data.obs_names)])


def test_the_order_of_the_genes_does_not_matter(reference, input_section, recipe, shuffled_genes):
    other = OnlineWAERecipe(reference, input_section, inputs={"input_b2": shuffled_genes})()
    np.testing.assert_array_equal(dense(other.sc_raw.X), dense(recipe.sc_raw.X))
    np.testing.assert_array_equal(other.sc_raw.obs["split"].astype(str), recipe.sc_raw.obs["split"].astype(str))


def test_missing_genes_have_zero_counts(reference, input_section, query):
    absent = list(reference.var_names[::10])
    recipe = OnlineWAERecipe(
        reference, input_section, inputs={"input_b2": query[:, ~query.var_names.isin(absent)].copy()}
    )()
    assert recipe.alignment.missing == absent
    assert recipe.sc_raw[:, absent].layers["counts"].nnz == 0
    assert recipe.sc_raw.n_vars == reference.n_vars


def test_an_unknown_gene_space_is_refused(reference, input_section, query):
    query.var_names = [f"ENSG{number:011d}" for number in range(query.n_vars)]
    with pytest.raises(DataError, match="no gene in common"):
        OnlineWAERecipe(reference, input_section, inputs={"input_b2": query})


def test_fewer_than_four_fifths_of_the_genes_are_refused(reference, input_section, query):
    known = query.var_names.isin(reference.var_names[: int(0.79 * reference.n_vars)])
    with pytest.raises(DataError, match="at least 80% are needed"):
        OnlineWAERecipe(reference, input_section, inputs={"input_b2": query[:, known].copy()})


def test_the_steps_that_would_learn_keep_the_reference(recipe, reference):
    before = recipe.config
    recipe.projection_pca(pcs=5)
    recipe.kernel_mmd()
    recipe.highly_variable_genes()
    recipe.mean_var_scaling()
    assert recipe.config == before
    np.testing.assert_array_equal(recipe.sc_raw.varm["PCs"], reference.varm["PCs"])
    np.testing.assert_array_equal(recipe.sc_raw.var["mean_scaling"], reference.var["mean_scaling"])


def test_a_batch_without_a_cell_that_passes_the_filter_is_an_error(reference, input_section, query):
    section = {**input_section, "filtering": {"min_genes": 1_000_000}}
    with pytest.raises(DataError, match="input_b2"):
        OnlineWAERecipe(reference, section, inputs={"input_b2": query})()


def test_query_and_reference_stay_as_they_are(reference, input_section, query):
    matrix, obs = dense(query.X), query.obs.copy()
    var, batches = reference.var.copy(), reference.batches
    OnlineWAERecipe(reference, input_section, inputs={"input_b2": query})()
    np.testing.assert_array_equal(dense(query.X), matrix)
    assert query.obs.equals(obs)
    assert reference.var.equals(var)
    assert reference.batches == batches


@pytest.mark.parametrize("not_processed", [{"input_ds": {}}, AnnData(np.ones((2, 2), dtype=np.float32))])
def test_a_reference_that_was_not_processed_is_refused(input_section, query, not_processed):
    with pytest.raises(DataError, match="processed"):
        OnlineWAERecipe(not_processed, input_section, inputs={"input_b2": query})
