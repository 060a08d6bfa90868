import logging

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError
from discern.online_learning.gene_alignment import align_genes


def genes(*names) -> pd.DataFrame:
    return pd.DataFrame(index=list(names))


def test_genes_are_matched_by_name_whatever_their_order():
    counts = np.random.default_rng(0).poisson(1.0, (5, 4)).astype(np.float32)
    alignment = align_genes(genes("A", "B", "C"), genes("C", "X", "A", "B"))
    aligned = alignment.apply(sparse.csr_matrix(counts))
    assert isinstance(aligned, sparse.csr_matrix)
    assert aligned.dtype == np.float32
    assert aligned.has_sorted_indices
    np.testing.assert_array_equal(aligned.toarray(), counts[:, [2, 3, 0]])
    assert alignment.missing == []
    assert alignment.extra == ["X"]


def test_missing_genes_count_as_zero_and_are_reported(caplog):
    counts = np.arange(1.0, 13.0, dtype=np.float32).reshape(3, 4)
    with caplog.at_level(logging.WARNING):
        alignment = align_genes(genes("A", "B", "C", "D", "E"), genes("E", "D", "B", "A"))
    expected = np.zeros((3, 5), dtype=np.float32)
    for column, name in enumerate("ABCDE"):
        if name in "EDBA":
            expected[:, column] = counts[:, "EDBA".index(name)]
    np.testing.assert_array_equal(alignment.apply(sparse.csr_matrix(counts)).toarray(), expected)
    assert alignment.missing == ["C"]
    assert "1 of 5 genes are missing from the new data and count as 0 there: C" in caplog.text


def test_too_few_of_the_genes_is_an_error_with_examples():
    with pytest.raises(DataError, match=r"only 3 of the 4 genes .*\(75%\); at least 80% are needed\. Missing: B\."):
        align_genes(genes("A", "B", "C", "D"), genes("A", "C", "D", "X"))


def test_exactly_the_needed_share_is_enough():
    assert align_genes(genes(*"ABCDE"), genes(*"ABCD")).missing == ["E"]


def test_ensembl_ids_against_symbols_are_explained():
    ensembl = genes(*(f"ENSG{number:011d}" for number in range(20)))
    with pytest.raises(DataError, match="Ensembl ids meet symbols"):
        align_genes(genes(*(f"GENE{number}" for number in range(20))), ensembl)
