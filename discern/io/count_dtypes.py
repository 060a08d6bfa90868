"""The narrowest integer types that hold the counts of a data set and the indices of its genes."""

from collections.abc import Iterable

import numpy as np
from scipy import sparse

GENE_DTYPES = ("<u2", "<u4")
VALUE_DTYPES = ("|u1", "<u2", "<u4", "<f4")  # each holds all that the ones before it hold as counts


def narrowest_dtypes(counts: sparse.csr_matrix) -> tuple[str, str]:
    """Return the narrowest (gene, value) types that hold ``counts`` without loss."""
    gene = narrowest_gene_dtype(counts.shape[1])
    values = counts.data
    if values.size == 0:
        return gene, "|u1"
    if (values < 0).any() or (values != np.floor(values)).any() or values.max() >= 2**32:
        return gene, "<f4"
    highest = values.max()
    return gene, "|u1" if highest < 2**8 else "<u2" if highest < 2**16 else "<u4"


def narrowest_gene_dtype(n_genes: int) -> str:
    """Return the narrowest type of the indices of so many genes."""
    return "<u2" if n_genes <= 2**16 else "<u4"


def common_value_dtype(dtypes: Iterable[str]) -> str:
    """Return the narrowest type of counts that holds what each of ``dtypes`` was the narrowest for."""
    return max(dtypes, key=VALUE_DTYPES.index, default=VALUE_DTYPES[0])
