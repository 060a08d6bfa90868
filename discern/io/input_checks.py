"""Checks that an input holds raw counts, before anything is computed from it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
from discern.io.raw_counts import find_values, to_csr
from discern.io.row_readers import RowReader

_LARGEST_LOGARITHM = 20.0
_FIRST_INEXACT = 2.0**24  # float32 holds every smaller whole number
_CELLS_SAMPLED = 1000
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fault:
    """Values of one kind that counts cannot have.

    Attributes:
        count: How many there are.
        cell: Index of the cell of the first.
        gene: Index of its gene.
        value: The first.
    """

    count: int = 0
    cell: int = -1
    gene: int = -1
    value: float = 0.0

    def merge(self, later: "Fault") -> "Fault":
        """Return the faults of both; ``later`` are of later cells."""
        first = self if self.count else later
        return Fault(self.count + later.count, first.cell, first.gene, first.value)


@dataclass(frozen=True)
class Findings:
    """What consecutive cells of an input hold.

    Attributes:
        n_cells: Number of cells.
        n_values: Number of stored values.
        n_empty: Cells without a value.
        largest: The largest value.
        not_finite: Values that are NaN or infinite.
        negative: Values below 0.
        fractional: Values that are not whole.
        inexact: Values so large that whole numbers are rounded.
        sums: Sums of the first cells, (n_sampled,).
        exponential_sums: Sums of exp(x) − 1 of the same cells, (n_sampled,).
    """

    n_cells: int
    n_values: int
    n_empty: int
    largest: float
    not_finite: Fault
    negative: Fault
    fractional: Fault
    inexact: Fault
    sums: np.ndarray
    exponential_sums: np.ndarray

    def merge(self, later: "Findings") -> "Findings":
        """Return the findings of both; ``later`` are of later cells."""
        return Findings(
            self.n_cells + later.n_cells,
            self.n_values + later.n_values,
            self.n_empty + later.n_empty,
            max(self.largest, later.largest),
            self.not_finite.merge(later.not_finite),
            self.negative.merge(later.negative),
            self.fractional.merge(later.fractional),
            self.inexact.merge(later.inexact),
            np.concatenate([self.sums, later.sums])[:_CELLS_SAMPLED],
            np.concatenate([self.exponential_sums, later.exponential_sums])[:_CELLS_SAMPLED],
        )


def examine(matrix: sparse.csr_matrix, first_cell: int = 0) -> Findings:
    """Look at the stored values of some cells.

    Args:
        matrix: (n_cells, n_genes).
        first_cell: Index of its first cell in the whole input.
    """
    fractional = _fault(matrix, first_cell, lambda values: ~_is_whole(values))
    some = matrix[: _CELLS_SAMPLED if fractional.count else 0].astype(np.float64)
    with np.errstate(over="ignore"):
        exponential = some.expm1()
    return Findings(
        n_cells=matrix.shape[0],
        n_values=matrix.nnz,
        n_empty=int(np.count_nonzero(np.diff(matrix.indptr) == 0)),
        largest=float(matrix.data.max(initial=0.0)),
        not_finite=_fault(matrix, first_cell, lambda values: ~np.isfinite(values)),
        negative=_fault(matrix, first_cell, lambda values: values < 0),
        fractional=fractional,
        inexact=_fault(matrix, first_cell, lambda values: values >= _FIRST_INEXACT),
        sums=_row_sums(some),
        exponential_sums=_row_sums(exponential),
    )


def judge(
    findings: Findings, name: str, cells: Sequence[str], genes: Sequence[str], allow_non_counts: bool = False
) -> None:
    """Refuse an input that does not hold raw counts.

    Args:
        findings: What all its cells hold.
        name: What messages call the input.
        cells: Names of the cells.
        genes: Names of the genes.
        allow_non_counts: Fractional values are a warning instead of an error.

    Raises:
        DataError: There are values that are not finite, negative or, unless allowed, not whole or too large to be exact.
    """

    def place(fault: Fault) -> str:
        return f"{fault.value:g} (cell {cells[fault.cell]}, gene {genes[fault.gene]})"

    for what, fault in (("not finite (NaN or infinite)", findings.not_finite), ("negative", findings.negative)):
        if fault.count:
            raise DataError(
                f"{name}: {fault.count:,} values are {what}; the first is {place(fault)}. "
                "Give the raw counts (in X or in layers['counts'])."
            )
    if findings.fractional.count:
        message = (
            f"{name}: {findings.fractional.count:,} of {findings.n_values:,} values that are not zero are not whole "
            f"numbers; the first is {place(findings.fractional)}. {_likely_transformation(findings)}"
        )
        if not allow_non_counts:
            raise DataError(f"{message} Give the raw counts (in X or in layers['counts']).")
        _logger.warning("%s It is used as it is.", message)
    if findings.inexact.count and not allow_non_counts:
        raise DataError(
            f"{name}: {findings.inexact.count:,} counts are {_FIRST_INEXACT:,.0f} or more and cannot be kept exactly; the "
            f"first is {place(findings.inexact)}. No cell counts that many molecules of a gene: are these sums, or codes?"
        )
    if findings.n_empty:
        _logger.warning(
            "%s: %d of %d cells have no count; the filter removes them", name, findings.n_empty, findings.n_cells
        )


def check_counts(adata: AnnData, name: str, allow_non_counts: bool = False) -> None:
    """Check that X, (n_cells, n_genes), holds raw counts; see :func:`judge`."""
    judge(examine(to_csr(adata.X)), name, adata.obs_names, adata.var_names, allow_non_counts)


def check_rows(rows: RowReader, name: str, cells: Sequence[str], genes: Sequence[str], allow_non_counts: bool) -> None:
    """Check that stored rows hold raw counts, some cells at a time; see :func:`judge`."""
    parts = (examine(rows.rows(start, stop), start) for start, stop in rows.blocks())
    judge(reduce(Findings.merge, parts), name, cells, genes, allow_non_counts)


def holds_counts(rows: RowReader) -> bool:
    """Tell whether every stored value is a whole number >= 0."""
    return all(
        find_values(rows.rows(start, stop).data, lambda values: ~(_is_whole(values) & (values >= 0)))[0] == 0
        for start, stop in rows.blocks()
    )


def _fault(matrix: sparse.csr_matrix, first_cell: int, is_hit: Callable[[np.ndarray], np.ndarray]) -> Fault:
    count, position = find_values(matrix.data, is_hit)
    if not count:
        return Fault()
    cell = int(np.searchsorted(matrix.indptr, position, side="right")) - 1
    return Fault(count, first_cell + cell, int(matrix.indices[position]), float(matrix.data[position]))


def _likely_transformation(findings: Findings) -> str:
    """Return a sentence on what was probably done to counts that are not whole."""
    if findings.largest < _LARGEST_LOGARITHM:
        total = _shared_sum(findings.exponential_sums)
        of_what = f" of counts normalised to {total:,.0f} per cell" if total else ""
        return f"They look log-transformed{of_what} (largest value {findings.largest:g})."
    total = _shared_sum(findings.sums)
    if total:
        return f"They look normalised: every cell sums to {total:,.0f}."
    return "They look neither log-transformed nor normalised to equal sums; were they corrected or imputed?"


def _shared_sum(sums: np.ndarray) -> float:
    """Return the sum that all cells with counts share within 0.1 %, or 0."""
    sums = sums[sums > 0]
    if len(sums) < 2 or np.ptp(sums) > 1e-3 * sums.max():
        return 0.0
    return float(np.median(sums))


def _row_sums(matrix: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1)).ravel()


def _is_whole(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values) & (values == np.rint(values))
