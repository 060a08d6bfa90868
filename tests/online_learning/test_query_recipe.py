import logging

import numpy as np
import pytest
from anndata import AnnData, concat

from discern.errors import DataError, ParametersError, counted
from discern.io.reading import read_raw_input
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


def test_a_known_batch_keeps_its_index_and_is_pointed_out(reference, input_section, query, caplog):
    with caplog.at_level(logging.WARNING):
        recipe = OnlineWAERecipe(reference, input_section, inputs={"input_b1": query})()
    assert recipe.sc_raw.batches == ["input_b0", "input_b1"]
    assert set(recipe.sc_raw.obs["batch"].cat.codes) == {1}
    old = reference.obs.loc[reference.obs["batch"] == "input_b1", "n_counts"]
    new = recipe.sc_raw.obs["n_counts"]
    assert (
        f"Batch input_b1 is known from input_b1: {len(old)} cells with a median library size of {np.median(old):,.0f}; "
        f"its {len(new)} new cells have a median library size of {np.median(new):,.0f}. They are taken"
    ) in caplog.text
    (known,) = recipe.known_batches
    assert (known.name, known.data_sets, known.n_cells, known.n_new_cells) == (
        "input_b1",
        ("input_b1",),
        len(old),
        len(new),
    )


def test_a_data_set_whose_name_is_taken_gets_a_suffix_and_its_batch_does_not(reference, input_section, query):
    inputs = {name: query[cells].copy() for name, cells in (("input_b1", slice(0, 80)), ("x/y", slice(80, 150)))}
    data = OnlineWAERecipe(reference, input_section, inputs=inputs)().sc_raw
    assert list(data.obs["dataset"].cat.categories) == ["input_b1-1", "x_y"]
    assert data.batches == ["input_b0", "input_b1", "x/y"]


def test_cells_that_are_there_already_are_refused(reference, input_section, input_paths):
    with pytest.raises(DataError, match=r"196 of 196 new cells .* b1_c004, .*already part of the experiment"):
        OnlineWAERecipe(reference, input_section, input_files=[input_paths[1]])()


def test_few_cells_that_are_there_already_are_a_warning(reference, input_section, input_paths, query, caplog):
    again = read_raw_input(input_paths[1])
    again = again[again.obs_names.isin(reference.obs_names)][:9].copy()
    for adata, batch in ((query, "new"), (again, "input_b1")):
        adata.obs["batch"] = batch
    both = concat([query, again], join="inner")
    recipe = OnlineWAERecipe(reference, input_section, inputs={"query": both})()
    assert recipe.sc_raw.batches == ["input_b0", "input_b1", "new"]
    assert f"9 of {recipe.sc_raw.n_obs} new cells have name, batch and library size" in caplog.text
    assert "They are added once more" in caplog.text


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
    assert recipe.alignments["input_b2"].missing == absent
    assert recipe.sc_raw[:, absent].layers["counts"].nnz == 0
    assert recipe.sc_raw.n_vars == reference.n_vars


def test_every_data_set_tells_which_genes_it_measured(reference, input_section, query):
    absent = {"a": list(reference.var_names[::10]), "b": [], "c": list(reference.var_names[5:100])}
    inputs = {
        name: query[number * 50 : number * 50 + 50, ~query.var_names.isin(genes)].copy()
        for number, (name, genes) in enumerate(absent.items())
    }
    recipe = OnlineWAERecipe(reference, input_section, inputs=inputs)()
    measured = recipe.sc_raw.varm["measured"]
    assert list(measured.columns) == ["a", "c"]
    assert list(measured.index) == list(reference.var_names)
    for name in measured:
        assert measured[name].dtype == bool
        assert list(measured.index[~measured[name]]) == absent[name]
    data = recipe.sc_raw
    for name, cells in inputs.items():
        found = data[data.obs["dataset"] == name]
        own = cells[[one.rsplit("-", 1)[0] if one not in cells.obs_names else one for one in found.obs_names]]
        np.testing.assert_array_equal(found.obs["n_genes"], (dense(own.X) > 0).sum(axis=1))
        there = [gene for gene in reference.var_names if gene not in absent[name]]
        np.testing.assert_array_equal(dense(found[:, there].layers["counts"]), dense(own[:, there].X))
    assert [one["missing"] for one in recipe.gene_report.numbers().values()] == [146, 0, 95]


def test_without_a_missing_gene_there_is_no_table_of_measured_genes(recipe):
    assert "measured" not in recipe.sc_raw.varm


def test_other_names_of_the_genes_are_found(reference, input_section, query, recipe):
    query.var["symbol"] = query.var_names
    query.var_names = [f"ENSG{number:011d}" for number in range(query.n_vars)]
    other = OnlineWAERecipe(reference, input_section, inputs={"input_b2": query})()
    np.testing.assert_array_equal(dense(other.sc_raw.X), dense(recipe.sc_raw.X))
    assert other.gene_report.data_sets[0].query_names == "var['symbol']"


def test_an_unknown_gene_space_is_refused(reference, input_section, query):
    query.var_names = [f"ENSG{number:011d}" for number in range(query.n_vars)]
    with pytest.raises(DataError, match="no gene in common"):
        OnlineWAERecipe(reference, input_section, inputs={"input_b2": query})


def test_fewer_than_four_fifths_of_the_genes_are_refused(reference, input_section, query):
    known = query.var_names.isin(reference.var_names[: int(0.79 * reference.n_vars)])
    with pytest.raises(DataError, match="at least 80% are needed"):
        OnlineWAERecipe(reference, input_section, inputs={"input_b2": query[:, known].copy()})
    few = OnlineWAERecipe(reference, input_section, inputs={"input_b2": query[:, known].copy()}, min_gene_overlap=0.7)
    assert few.sc_raw.varm["measured"]["input_b2"].sum() == known.sum()
    with pytest.raises(ParametersError, match=r"min_gene_overlap 1\.2"):
        OnlineWAERecipe(reference, input_section, inputs={"input_b2": query}, min_gene_overlap=1.2)


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


@pytest.mark.parametrize("n_cells", [1, 2, 9])
def test_a_query_of_few_cells_is_trained_on_whole(reference, input_section, query, n_cells, caplog):
    rich = np.flatnonzero((dense(query.X) > 0).sum(axis=1) >= 100)[:n_cells]
    data = OnlineWAERecipe(reference, input_section, inputs={"few": query[rich].copy()})().sc_raw
    assert data.shape == (n_cells, reference.n_vars)
    assert data.obs["split"].tolist() == ["train"] * n_cells
    assert not data.obs["for_mmd"].any()
    assert data.config["train_cells_no"] == {"few": n_cells}
    assert data.config["total_valid_count"] == 0
    assert (
        f"no validation cell in batch 'few' ({counted(n_cells, 'cell')}): all its cells are trained on" in caplog.text
    )


def test_a_share_for_mmd_of_few_validation_cells_that_is_no_cell_takes_all(reference, input_section, query):
    section = {**input_section, "split": {"valid_cells": 0.1, "mmd_cells": 0.05}}
    obs = OnlineWAERecipe(reference, section, inputs={"few": query})().sc_raw.obs
    assert 0 < (obs["split"] == "valid").sum() < 20
    np.testing.assert_array_equal(obs["for_mmd"], obs["split"] == "valid")


def test_whole_numbers_are_text_as_names_of_batches(reference, input_section, query):
    query.obs["donor"] = np.arange(query.n_obs) % 2 + 7
    query.obs["batch"] = query.obs["donor"]
    assert OnlineWAERecipe(reference, input_section, inputs={"q": query})().sc_raw.batches == [
        *reference.batches,
        "7",
        "8",
    ]


def test_cells_without_a_batch_are_refused(reference, input_section, query):
    query.obs["batch"] = [None, *["x"] * (query.n_obs - 1)]
    with pytest.raises(DataError, match=r"Column 'batch' of q has no value for 1 of 150 cells"):
        OnlineWAERecipe(reference, input_section, inputs={"q": query})


def test_data_without_a_cell_are_refused(reference, input_section, query, tmp_path):
    with pytest.raises(DataError, match="The inputs q hold no cell"):
        OnlineWAERecipe(reference, input_section, inputs={"q": query[:0].copy()})
    query[:0].copy().write_h5ad(tmp_path / "q.h5ad")
    with pytest.raises(DataError, match=r"q\.h5ad is empty: 0 cells x 1500 genes"):
        OnlineWAERecipe(reference, input_section, input_files=[tmp_path / "q.h5ad"])


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
