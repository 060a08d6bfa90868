import logging

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import read_elem
from scipy import sparse

from discern.errors import DataError
from discern.io.gene_columns import placed_columns
from discern.io.reading import read_raw_input
from discern.online_learning.gene_alignment import align_genes

IDS = [f"ENSG{number:011d}" for number in range(20)]
SYMBOLS = [f"GENE{number}" for number in range(20)]


def genes(*names, **columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=list(names))


def test_genes_are_matched_by_name_whatever_their_order():
    counts = np.random.default_rng(0).poisson(1.0, (5, 4)).astype(np.float32)
    alignment = align_genes(genes("A", "B", "C"), genes("C", "X", "A", "B"))
    aligned = placed_columns(sparse.csr_matrix(counts), alignment.columns)
    assert isinstance(aligned, sparse.csr_matrix)
    assert aligned.dtype == np.float32
    assert aligned.has_sorted_indices
    np.testing.assert_array_equal(aligned.toarray(), counts[:, [2, 3, 0]])
    assert alignment.missing == []
    assert alignment.extra == ["X"]
    assert alignment.measured.tolist() == [True, True, True]


def test_missing_genes_count_as_zero_and_are_reported(caplog):
    counts = np.arange(1.0, 13.0, dtype=np.float32).reshape(3, 4)
    with caplog.at_level(logging.WARNING):
        alignment = align_genes(genes("A", "B", "C", "D", "E"), genes("E", "D", "B", "A"), data_set="late")
    expected = np.zeros((3, 5), dtype=np.float32)
    for column, name in enumerate("ABCDE"):
        if name in "EDBA":
            expected[:, column] = counts[:, "EDBA".index(name)]
    np.testing.assert_array_equal(placed_columns(sparse.csr_matrix(counts), alignment.columns).toarray(), expected)
    assert alignment.missing == ["C"]
    assert alignment.measured.tolist() == [True, True, False, True, True]
    assert "late: 4 of 5 genes found; 1 missing, which count as not measured (C)." in caplog.text


def test_too_few_of_the_genes_is_an_error_with_examples():
    with pytest.raises(
        DataError, match=r"only 3 of the 4 genes .*\(75%\); at least 80% are needed\. Missing: B\."
    ) as e:
        align_genes(genes("A", "B", "C", "D"), genes("A", "C", "D", "X"))
    assert "--min-gene-overlap 0.75 " in str(e.value)
    assert align_genes(genes("A", "B", "C", "D"), genes("A", "C", "D", "X"), 0.75).missing == ["B"]


@pytest.mark.parametrize(
    ("n_genes", "others"), [(20, [name.capitalize() for name in SYMBOLS[1:]]), (20, IDS[1:]), (250, ["GENE"])]
)
def test_fewer_genes_are_not_offered_where_the_names_are_of_another_kind_or_hardly_any_is_there(n_genes, others):
    reference = genes(*(f"GENE{number}" for number in range(n_genes)))
    with pytest.raises(DataError, match=r"named as in the trained data\.$") as e:
        align_genes(reference, genes("GENE0", *others))
    assert "--min-gene-overlap" not in str(e.value)


def test_exactly_the_needed_share_is_enough():
    assert align_genes(genes(*"ABCDE"), genes(*"ABCD")).missing == ["E"]


def test_ensembl_ids_against_symbols_are_explained():
    with pytest.raises(DataError, match="Ensembl ids meet symbols"):
        align_genes(genes(*SYMBOLS), genes(*IDS), 0.0)


def test_a_column_of_the_new_data_that_holds_the_names_is_used_and_said(caplog):
    order = np.random.default_rng(1).permutation(20)
    query = genes(
        *(IDS[number] for number in order),
        genome=["GRCh38"] * 20,
        number=[str(number) for number in range(20)],
        feature_name=pd.Categorical([SYMBOLS[number] for number in order]),
    )
    alignment = align_genes(genes(*SYMBOLS, number=[str(number) for number in range(20)]), query)
    np.testing.assert_array_equal(alignment.columns, np.argsort(order))
    assert (alignment.genes.query_names, alignment.genes.reference_names) == ("var['feature_name']", "gene names")
    assert alignment.genes.renamed == tuple(zip(SYMBOLS, IDS, strict=True))
    assert (
        "var['feature_name'] matched to gene names of the reference; its genes are called by Ensembl ids" in caplog.text
    )


def test_a_column_of_the_reference_that_holds_the_names_is_used():
    alignment = align_genes(genes(*SYMBOLS, gene_ids=IDS, mean=np.arange(20.0)), genes(*IDS[::-1]))
    np.testing.assert_array_equal(alignment.columns, np.arange(20)[::-1])
    assert alignment.genes.reference_names == "var['gene_ids']"


def test_versions_of_ensembl_ids_may_differ():
    reference = [f"{name}.{number}" for number, name in enumerate(IDS)]
    alignment = align_genes(genes(*reference), genes(*(f"{name}.7" for name in IDS[1:])))
    np.testing.assert_array_equal(alignment.columns, [-1, *range(19)])
    assert alignment.genes.reference_names == alignment.genes.query_names == "gene names without version"
    assert alignment.missing == [reference[0]]
    assert len(alignment.genes.renamed) == 18  # one has version 7


def test_gene_names_win_where_they_agree_well_enough():
    query = genes(*SYMBOLS[:16], *"WXYZ", other=[*SYMBOLS[4:], *SYMBOLS[:4]])
    alignment = align_genes(genes(*SYMBOLS), query)
    assert alignment.genes.query_names == "gene names"
    assert alignment.missing == SYMBOLS[16:]


def test_of_repeated_names_the_first_counts():
    query = genes("A", "A-1", "B", "X", "X-1", "B-2-1", "C")
    alignment = align_genes(genes("A", "B", "C"), query)
    np.testing.assert_array_equal(alignment.columns, [0, 2, 6])
    assert alignment.genes.duplicated == ("A-1",)
    assert alignment.extra == ["X", "X-1", "B-2-1"]
    assert align_genes(genes("A", "A-1"), query).columns.tolist() == [0, 1]


def test_names_of_a_column_may_repeat_or_be_missing():
    query = genes(*IDS[:6], symbol=["GENE1", "GENE0", "GENE1", None, "GENE2", "OTHER"])
    alignment = align_genes(genes("GENE0", "GENE1", "GENE2"), query)
    np.testing.assert_array_equal(alignment.columns, [1, 0, 4])
    assert alignment.genes.duplicated == (IDS[2],)
    assert alignment.extra == [IDS[3], IDS[5]]


def test_a_name_that_two_genes_of_the_reference_share_is_given_to_the_first():
    reference = genes(*IDS[:5], symbol=["A", "B", "A", "C", "D"])
    alignment = align_genes(reference, genes(*"DCBA"))
    np.testing.assert_array_equal(alignment.columns, [3, 2, -1, 1, 0])
    assert alignment.missing == [IDS[2]]


def test_a_file_of_cell_ranger_fits_by_its_symbols_and_by_its_ids(data_dir):
    raw = read_raw_input(data_dir / "raw" / "10x_h5_pbmc_1k_v2" / "pbmc_1k_v2_filtered_feature_bc_matrix.h5")
    with h5py.File(data_dir / "pbmc_citeseq_10k5k.h5ad") as file:
        reference = read_elem(file["var"])
    by_symbol = align_genes(reference, raw.var)
    by_id = align_genes(reference, raw.var.assign(symbol=raw.var_names).set_index("gene_ids"))
    assert by_symbol.measured.mean() > 0.95
    np.testing.assert_array_equal(by_id.columns, by_symbol.columns)
    assert by_id.genes.query_names == "var['symbol']"
    names = raw.var_names[by_symbol.columns[by_symbol.measured]]
    assert list(names) == list(reference.index[by_symbol.measured])
