"""Bring the genes of new cells into the order of a trained model's genes, matched by name."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from discern.errors import DataError
from discern.io.gene_names import explain_no_common_genes, kind_of_names, spellings
from discern.online_learning.gene_report import DataSetGenes

MIN_OVERLAP = 0.8
_EXAMPLES = 5
_SUFFIX = re.compile(r"-\d+$")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GeneAlignment:
    """Where the genes of the reference are in the query.

    Attributes:
        columns: Column of the query for every gene of the reference, -1 where it has none, (n_genes,).
        genes: Which genes are missing, extra, duplicated or renamed.
    """

    columns: np.ndarray
    genes: DataSetGenes

    @property
    def missing(self) -> list[str]:
        """Genes of the reference that the query does not have."""
        return list(self.genes.missing)

    @property
    def extra(self) -> list[str]:
        """Genes of the query that the reference does not have."""
        return list(self.genes.extra)

    @property
    def measured(self) -> np.ndarray:
        """Whether the query has each gene of the reference, bool (n_genes,)."""
        return self.columns >= 0


@dataclass(frozen=True)
class _Match:
    """One way of comparing names: what the two are called, and the column of every gene of the reference."""

    reference_names: str
    query_names: str
    columns: np.ndarray
    query: pd.Index

    @property
    def n_found(self) -> int:
        return int((self.columns >= 0).sum())


def align_genes(
    reference: pd.DataFrame, query: pd.DataFrame, min_overlap: float = MIN_OVERLAP, data_set: str = "the new data"
) -> GeneAlignment:
    """Find every gene of the reference in the query and report what is missing.

    The names of the genes are compared. Where too few agree, other names that the two have are tried: columns of text,
    and Ensembl ids without their version; those that agree most are used.

    Args:
        reference: Gene annotation of the reference, indexed by unique names.
        query: Gene annotation of the query, indexed by unique names.
        min_overlap: Smallest share of the reference's genes that the query must have.
        data_set: What the report and messages call the query.

    Raises:
        DataError: The query has too few of the genes.
    """
    matches = _matches(reference, query)
    best = next(matches)
    if best.n_found < max(min_overlap, MIN_OVERLAP) * len(reference):
        for match in matches:
            best = match if match.n_found > best.n_found else best
    if not best.n_found:
        raise DataError(explain_no_common_genes({"the trained data": reference, data_set: query}))
    genes = _described(reference, query, best, data_set)
    if best.n_found < min_overlap * len(reference):
        raise DataError(_too_few(reference, query, genes, min_overlap))
    log.log(logging.WARNING if genes.missing or genes.renamed else logging.INFO, "%s", genes.summary())
    return GeneAlignment(best.columns, genes)


def _matches(reference: pd.DataFrame, query: pd.DataFrame) -> Iterator[_Match]:
    """Yield what comparing every kind of names finds, the gene names first."""
    names_of_query = spellings(query)
    for reference_kind, known in spellings(reference).items():
        for query_kind, names in names_of_query.items():
            yield _Match(reference_kind, query_kind, _columns(known, names), names)


def _columns(reference: pd.Index, query: pd.Index) -> np.ndarray:
    """Return the first column of the query that has the name of each gene of the reference, -1 where none has."""
    first = np.flatnonzero(~query.duplicated() & (query != ""))
    found = query[first].get_indexer(reference)
    found[reference.duplicated() | (reference == "")] = -1
    return np.where(found >= 0, first[found], -1) if len(first) else found


def _described(reference: pd.DataFrame, query: pd.DataFrame, match: _Match, data_set: str) -> DataSetGenes:
    is_found = match.columns >= 0
    used = match.columns[is_found]
    names = query.index.astype(str)
    left = np.setdiff1d(np.arange(len(query)), used)
    found = set(match.query[used])
    # reading gave names that stand more than once a suffix
    is_repeat = [_SUFFIX.sub("", name) in found or name in found for name in match.query[left]]
    repeats = left[np.array(is_repeat, dtype=bool)]
    extra = np.setdiff1d(left, repeats)
    pairs = zip(reference.index[is_found].astype(str), names[used], strict=True)
    return DataSetGenes(
        data_set=data_set,
        n_reference_genes=len(reference),
        n_genes=len(query),
        reference_names=match.reference_names,
        query_names=match.query_names,
        missing=tuple(reference.index[~is_found].astype(str)),
        extra=tuple(names[extra]),
        duplicated=tuple(names[repeats]),
        renamed=tuple((old, new) for old, new in pairs if old != new),
    )


def _too_few(reference: pd.DataFrame, query: pd.DataFrame, genes: DataSetGenes, min_overlap: float) -> str:
    share = genes.n_matched / len(reference)
    kinds = [kind_of_names(names) for names in (reference.index, query.index)]
    offered = np.floor(share * 100) / 100 if kinds[0] == kinds[1] else 0
    fewer = (
        f", or accept fewer with --min-gene-overlap {offered:g} (min_gene_overlap): genes that are missing then count as "
        "not measured"
    )
    return (
        f"{genes.data_set}: only {genes.n_matched:,} of the {len(reference):,} genes the model was trained on are there "
        f"({share:.0%}); at least {min_overlap:.0%} are needed. "
        f"Missing: {_examples(genes.missing)}. The model knows {kinds[0]}, the new data "
        f"({len(query):,} genes) have {kinds[1]}. Give all genes that were measured, named as in the trained data"
        f"{fewer if offered else ''}."
    )


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:_EXAMPLES]) + (", …" if len(names) > _EXAMPLES else "")
