"""Bring the genes of new cells into the order of a trained model's genes, matched by name."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from discern.errors import DataError
from discern.io.gene_names import explain_no_common_genes, kind_of_names

MIN_OVERLAP = 0.8
_EXAMPLES = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GeneAlignment:
    """Where the genes of the reference are in the query.

    Attributes:
        columns: Column of the query for every gene of the reference, -1 where it has none, (n_genes,).
        missing: Genes of the reference that the query does not have.
        extra: Genes of the query that the reference does not have.
    """

    columns: np.ndarray
    missing: list[str]
    extra: list[str]

    def apply(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return the counts of the reference's genes, (n_cells, n_genes); 0 for missing genes.

        Args:
            counts: Counts of the query, (n_cells, n_query_genes).
        """
        found = np.flatnonzero(self.columns >= 0)
        selection = sparse.csr_matrix(
            (np.ones(len(found), dtype=counts.dtype), (self.columns[found], found)),
            shape=(counts.shape[1], len(self.columns)),
        )
        aligned = sparse.csr_matrix(counts @ selection)
        aligned.sort_indices()
        return aligned


def align_genes(reference: pd.DataFrame, query: pd.DataFrame, min_overlap: float = MIN_OVERLAP) -> GeneAlignment:
    """Find every gene of the reference in the query and report what is missing.

    Args:
        reference: Gene annotation of the reference, indexed by unique names.
        query: Gene annotation of the query, indexed by unique names.
        min_overlap: Smallest share of the reference's genes that the query must have.

    Raises:
        DataError: The query has too few of the genes.
    """
    columns = query.index.get_indexer(reference.index)
    missing = [str(name) for name in reference.index[columns < 0]]
    extra = [str(name) for name in query.index[~query.index.isin(reference.index)]]
    n_genes = len(reference)
    if len(missing) == n_genes:
        raise DataError(explain_no_common_genes({"the trained data": reference, "the new data": query}))
    if n_genes - len(missing) < min_overlap * n_genes:
        raise DataError(_too_few(reference, query, missing, min_overlap))
    log.info("%d of %d genes found; %d further genes are left out", n_genes - len(missing), n_genes, len(extra))
    if missing:
        log.warning(
            "%d of %d genes are missing from the new data and count as 0 there: %s",
            len(missing),
            n_genes,
            _examples(missing),
        )
    return GeneAlignment(columns, missing, extra)


def _too_few(reference: pd.DataFrame, query: pd.DataFrame, missing: Sequence[str], min_overlap: float) -> str:
    n_genes, n_found = len(reference), len(reference) - len(missing)
    return (
        f"The new data have only {n_found:,} of the {n_genes:,} genes the model was trained on "
        f"({n_found / n_genes:.0%}); at least {min_overlap:.0%} are needed. Missing: {_examples(missing)}. "
        f"The model knows {kind_of_names(reference.index)}, the new data ({len(query):,} genes) have "
        f"{kind_of_names(query.index)}. Give all genes that were measured, named as in the trained data."
    )


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:_EXAMPLES]) + (", …" if len(names) > _EXAMPLES else "")
