import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
from discern.io.merging import join_onto, merge_data_sets
from discern.io.naming import input_names
from discern.io.raw_input import RawInput
from discern.io.reading import read_raw_input
from discern.io.row_readers import RowsInMemory

GENES = ["CD3D", "MS4A1", "NKG7", "LYZ"]


def build(n_cells=4, genes=GENES, seed=0, form=sparse.csr_matrix, **obs):
    counts = np.random.default_rng(seed).poisson(1.0, (n_cells, len(genes))).astype(np.float32)
    index = [f"s{seed}_c{i}" for i in range(n_cells)]
    return AnnData(form(counts), obs=pd.DataFrame(obs, index=index), var=pd.DataFrame(index=list(genes)))


def test_published_inputs_merge_into_the_published_counts(golden_dir):
    golden = np.load(golden_dir / "preprocessing.npz")
    paths = [golden_dir / f"input_b{i}.h5ad" for i in range(3)]
    inputs = dict(zip(input_names(paths), map(read_raw_input, paths), strict=True))
    merged, batch_key = merge_data_sets(inputs, None)
    assert np.array_equal(merged.X.toarray(), golden["raw_X"])
    assert np.array_equal(merged.obs_names, golden["raw_obs_names"])
    assert np.array_equal(merged.var_names, golden["raw_var_names"])
    assert np.array_equal(merged.obs["batch"], golden["raw_batch"])
    assert np.array_equal(merged.obs["dataset"], golden["raw_batch"])
    assert batch_key == {"0": "input_b0", "1": "input_b1", "2": "input_b2"}
    assert merged.obs["celltype"].cat.categories.tolist() == ["A", "B", "C"]
    assert isinstance(merged.X, sparse.csr_matrix)
    assert merged.X.dtype == np.float32
    assert merged.X.has_sorted_indices


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_genes_are_those_of_all_in_the_order_of_the_first(form):
    a = build(5, ["D", "B", "A", "C", "X"], 1, form)
    b = build(3, ["A", "Y", "C", "D", "B"], 2, form)
    c = build(2, ["C", "B", "A"], 3, form)
    merged, _ = merge_data_sets({"a": a, "b": b, "c": c}, {})
    assert merged.var_names.tolist() == ["B", "A", "C"]
    expected = pd.concat([adata.to_df()[["B", "A", "C"]] for adata in (a, b, c)])
    assert np.array_equal(merged.X.toarray(), expected)
    assert merged.X.has_canonical_format
    assert merged.obs_names.tolist() == expected.index.tolist()
    assert merged.obs["dataset"].tolist() == list("aaaaabbbcc")


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")
@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")
def test_inputs_are_not_changed():
    a = build(3, ["A", "B", "A"], 1, batch=[1.0, 2.0, 1.0], kind=pd.Categorical(["u", "v", "u"]))
    b = build(3, ["B", "A", "C"], 1, kind=pd.Categorical(["w", "w", "u"]))
    b.X.data[0] = 0
    a.obsm["protein_expression"] = pd.DataFrame({"CD3": [1.0, 2.0, 3.0]}, index=a.obs_names)
    copies = [a.copy(), b.copy()]
    merged, _ = merge_data_sets({"a": a, "b": b}, {"a": "batch"})
    merged.X.data[:] = 99
    for adata, copy in zip((a, b), copies, strict=True):
        pd.testing.assert_frame_equal(adata.obs, copy.obs)
        pd.testing.assert_frame_equal(adata.var, copy.var)
        assert np.array_equal(adata.X.data, copy.X.data)
        assert np.array_equal(adata.X.indices, copy.X.indices)


def test_one_input_is_fine_and_its_x_is_a_copy():
    a = build()
    merged, batch_key = merge_data_sets({"only": a})
    assert np.array_equal(merged.X.toarray(), a.X.toarray())
    assert not np.shares_memory(merged.X.data, a.X.data)
    assert batch_key == {"0": "only"}
    with pytest.raises(DataError, match="nothing to merge"):
        merge_data_sets({})


def test_repeated_cell_names_are_made_unique():
    merged, _ = merge_data_sets({"a": build(2, seed=0), "b": build(3, seed=0), "c": build(1, seed=0)})
    assert merged.obs_names.tolist() == ["s0_c0", "s0_c1", "s0_c0-1", "s0_c1-1", "s0_c2", "s0_c0-2"]


def test_batches_follow_the_inputs_and_within_one_the_column():
    inputs = {
        "z": build(3, donor=["d2", "d1", "d2"]),
        "file": build(2, seed=1),
        "own": build(2, seed=2, batch=[10, 9]),
        "cat": build(3, seed=3, tissue=pd.Categorical(["x", "w", "x"], categories=["x", "unused", "w"])),
    }
    merged, batch_key = merge_data_sets(inputs, {"z": "donor", "file": None, "cat": "tissue"})
    assert list(batch_key.values()) == ["d1", "d2", "file", "9", "10", "x", "w"]
    assert list(batch_key) == list("0123456")
    assert merged.obs["batch"].tolist() == ["d2", "d1", "d2", "file", "file", "10", "9", "x", "w", "x"]
    assert merged.obs["batch"].cat.categories.tolist() == list(batch_key.values())


def test_the_same_batch_in_two_inputs_is_one_batch_with_a_warning(caplog):
    inputs = {"a": build(2, batch=["p", "q"]), "b": build(2, seed=1, batch=["r", "p"])}
    merged, batch_key = merge_data_sets(inputs)
    assert list(batch_key.values()) == ["p", "q", "r"]
    assert merged.obs["batch"].tolist() == ["p", "q", "r", "p"]
    assert "Batch 'p' occurs in a, b" in caplog.text


def test_real_batches_merge_back_in_another_order(data_dir):
    both = read_raw_input(data_dir / "pbmc_citeseq_10k5k.h5ad")
    is_small = (both.obs["batch"] == "pbmc5k_v3").to_numpy()
    reverse = np.arange(both.n_vars)[::-1]
    inputs = {"small": both[is_small][:, reverse].copy(), "large": both[~is_small].copy()}
    merged, batch_key = merge_data_sets(inputs, {"small": "batch"})
    assert list(batch_key.values()) == ["pbmc5k_v3", "pbmc10k_v3"]
    again = merged[both.obs_names, both.var_names]
    assert (again.X != both.X).nnz == 0
    assert np.array_equal(again.obsm["protein_expression"], both.obsm["protein_expression"])
    assert again.obs["marker_group"].astype(str).equals(both.obs["marker_group"].astype(str))


def test_proteins_are_united():
    inputs = {"a": build(2), "b": build(2, seed=1), "c": build(1, seed=2)}
    inputs["a"].obsm["protein_expression"] = pd.DataFrame({"CD3": [1, 2], "CD4": [3, 4]}, index=inputs["a"].obs_names)
    inputs["c"].obsm["protein_expression"] = pd.DataFrame({"CD8": [5], "CD3": [6]}, index=inputs["c"].obs_names)
    merged, _ = merge_data_sets(inputs)
    nan = np.nan
    proteins = merged.obsm["protein_expression"]
    assert proteins.columns.tolist() == ["CD3", "CD4", "CD8"]
    expected = [[1, 3, nan], [2, 4, nan], [nan] * 3, [nan] * 3, [6, nan, 5]]
    np.testing.assert_array_equal(proteins, expected)
    assert proteins.index.equals(merged.obs_names)
    del inputs["a"], inputs["c"]
    assert "protein_expression" not in merge_data_sets(inputs)[0].obsm


def test_no_common_gene_shows_both_name_spaces():
    inputs = {"human": build(), "ids": build(genes=[f"ENSG{i:011d}" for i in range(5)], seed=1)}
    with pytest.raises(DataError, match="no gene in common") as caught:
        merge_data_sets(inputs)
    assert "human (4 genes, symbols in upper case, as in human): CD3D, MS4A1" in str(caught.value)
    assert "ids (5 genes, Ensembl ids): ENSG00000000000" in str(caught.value)


def test_two_species_with_a_few_names_in_common_are_refused():
    names = [f"GEN{number}" for number in range(30)]
    human, mouse = build(genes=["C3", *names]), build(genes=["C3", *(name.capitalize() for name in names)], seed=1)
    with pytest.raises(DataError, match="^The inputs have 1 gene in common") as caught:
        merge_data_sets({"human": human, "mouse": mouse})
    assert "mouse (31 genes, capitalised symbols, as in mouse): C3, Gen0" in str(caught.value)
    assert "Human and mouse symbols differ in case: translate one species" in str(caught.value)


def test_few_common_genes_are_a_warning(caplog):
    caplog.set_level(logging.WARNING)
    a, b = build(genes=[f"A{i}" for i in range(30)]), build(genes=["A0", "A1", *(f"B{i}" for i in range(19))], seed=1)
    merge_data_sets({"a": a, "b": b})
    assert "Only 2 genes are common to all inputs, of 21 in b" in caplog.text
    caplog.clear()
    b = build(genes=["A0", "A1", "A2", *(f"B{i}" for i in range(18))], seed=1)
    merge_data_sets({"a": a, "b": b})
    assert not caplog.text


def test_merged_data_can_be_written_and_read(tmp_path):
    inputs = {
        "a": build(2, note=["x", None], flag=[True, False], count=[1, 2]),
        "b": build(2, seed=1, note=["y", "z"], level=pd.Categorical(["lo", "hi"], ["lo", "hi"], ordered=True)),
        "c": build(2, seed=2, flag=["maybe", "no"], count=[0.5, 1.5]),
    }
    merged, _ = merge_data_sets(inputs)
    merged.write_h5ad(tmp_path / "x.h5ad")
    read = read_raw_input(tmp_path / "x.h5ad")
    assert (read.X != merged.X).nnz == 0
    assert read.obs["flag"].astype(object).where(read.obs["flag"].notna(), None).tolist() == [
        *("True", "False", None, None, "maybe", "no")
    ]
    np.testing.assert_array_equal(read.obs["count"], [1, 2, np.nan, np.nan, 0.5, 1.5])


def test_inputs_are_joined_onto_the_genes_of_other_data():
    a, b = build(3, list("ABC"), seed=1, batch=["x", "y", "x"]), build(2, list("CXA"), seed=2)
    var = pd.DataFrame({"mean": [1.0, 2.0, 3.0]}, index=list("CDA"))
    columns = [np.array([2, -1, 0]), np.array([0, -1, 2])]

    def join(inputs, batch_keys):
        return join_onto(inputs, batch_keys, var=var, columns=columns, data_sets=["a", "b-1"])

    merged, _ = merge_data_sets({"a": a, "b": b}, None, join)
    expected = np.zeros((5, 3), dtype=np.float32)
    expected[:, [0, 2]] = np.concatenate([a.X.toarray()[:, [2, 0]], b.X.toarray()[:, [0, 2]]])
    assert np.array_equal(merged.X.toarray(), expected)
    assert merged.X.has_sorted_indices
    assert merged.var.equals(var)
    assert merged.obs["dataset"].tolist() == ["a"] * 3 + ["b-1"] * 2
    assert merged.obs["batch"].tolist() == ["x", "y", "x", "b", "b"]


def test_a_missing_column_of_batches_is_refused_when_inputs_are_joined_onto_others():
    raw = RawInput(RowsInMemory(build().X), build().obs, build().var)
    with pytest.raises(DataError, match="Column 'donor'"):
        join_onto({"a": raw}, {"a": "donor"}, var=build().var, columns=[np.arange(4)], data_sets=["a"])
