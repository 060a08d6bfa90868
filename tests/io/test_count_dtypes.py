import numpy as np
import pytest
from scipy import sparse

from discern.io.count_dtypes import narrowest_dtypes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "|u1"),
        (255, "|u1"),
        (256, "<u2"),
        (2**16 - 1, "<u2"),
        (2**16, "<u4"),
        (2.0**24, "<u4"),
        (2.0**32, "<f4"),
        (0.5, "<f4"),
        (-1, "<f4"),
        (np.nan, "<f4"),
    ],
)
def test_values_take_the_narrowest_type_without_loss(value, expected):
    counts = sparse.csr_matrix(np.array([[1, value]], dtype=np.float32))
    assert narrowest_dtypes(counts) == ("<u2", expected)


@pytest.mark.parametrize(("n_genes", "expected"), [(1, "<u2"), (2**16, "<u2"), (2**16 + 1, "<u4")])
def test_genes_take_the_narrowest_type(n_genes, expected):
    assert narrowest_dtypes(sparse.csr_matrix((2, n_genes), dtype=np.float32)) == (expected, "|u1")
