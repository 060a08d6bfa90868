"""What a cell's own counts add to a decoded estimate: the decoded expectation as the mean of a gamma prior.

The decoder gives every cell the expectation of cells like it. What the cell's counts say beyond that is lost: a gene
that is off in a cell where it is expected looks the same as one that is on. Here the count y of gene g in cell i of
batch b is Poisson with mean ρ · F · E: E is what the decoder expects in the cell's own batch, scaled to the cell's
library size; F, one number per batch and gene, corrects that the exponential of a mean logarithm lies below the mean;
ρ is the cell's own share, gamma-distributed with mean 1 and shape a, so that y is negative binomial with size a. The mean
of ρ given the count is (y + a) / (F · E + a), and the estimate for the target batch is multiplied by it.

F and a are fitted to validation cells, whose counts training has not seen: F as the ratio of sums, a by the method of
moments, each gene with the evidence of all genes as a prior.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from discern.errors import NoCountPriorError
from discern.io.processed_cells import ProcessedCells
from discern.io.transform import InputTransform
from discern.keys import SPLIT, VALID
from discern.models.contract import Decoded, ModelFamily
from discern.progress import progress
from discern.projection.batch_labels import own_labels
from discern.projection.decoding import decoded_into, encoded_slices

_EXPECTED_COUNTS = 10.0  # expected counts with the batch's overall ratio that every gene's ratio starts from
_SQUARED_COUNTS = 10.0  # evidence with the spread of all genes that every gene's spread starts from
_CELLS_AT_ONCE = 4096
_SMALLEST_SPREAD = 1e-3  # 1 / a: with less, counts say nothing that the decoder does not know


@dataclass(frozen=True)
class CountPrior:
    """How far counts move the estimates of each gene.

    Attributes:
        size: Shape a of the gamma prior, float32 (n_genes,); the larger, the less a count says.
        ratio: F, observed over expected counts, float32 (n_batches, n_genes).
    """

    size: np.ndarray
    ratio: np.ndarray

    def shares(
        self,
        own_expression: np.ndarray,
        counts: np.ndarray,
        library_size: np.ndarray,
        own_batch: np.ndarray,
        transform: InputTransform,
        measured: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the mean of ρ given the counts, float32 (n_cells, n_genes); 1 for genes that were not measured.

        Args:
            own_expression: Decoded into the cells' own batches, in the family's output space, (n_cells, n_genes).
            counts: Raw counts, dense, same shape.
            library_size: Total count of every cell, (n_cells,).
            own_batch: Batch labels, (n_cells, n_batches).
            transform: How counts become expression.
            measured: Whether each gene was measured in each cell, bool, same shape; all were when None.
        """
        expected = expected_counts(own_expression, library_size, transform) * (own_batch @ self.ratio)
        shares = (counts + self.size) / (expected + self.size)
        return shares if measured is None else np.where(measured, shares, np.float32(1.0))

    def shares_of(
        self,
        decoded: Decoded,
        cells: ProcessedCells,
        neighbours: slice,
        own_batch: np.ndarray,
        transform: InputTransform,
    ) -> np.ndarray:
        """Return the mean of ρ for neighbouring cells, float32 (n_cells, n_genes).

        Args:
            decoded: The cells decoded into their own batches by the family that the prior was fitted to.
            cells: All cells.
            neighbours: Which of them were decoded.
            own_batch: Their batch labels, (n_cells, n_batches).
            transform: How counts become expression.
        """
        return self.shares(
            decoded.expression,
            cells.counts[neighbours].toarray(),
            cells.library_size[neighbours],
            own_batch,
            transform,
            None if cells.panels is None else cells.panels.measured(neighbours),
        )


def expected_counts(expression: np.ndarray, library_size: np.ndarray, transform: InputTransform) -> np.ndarray:
    """Return the counts that decoded expression stands for in cells of given depth, (n_cells, n_genes).

    Args:
        expression: Not below 0, log1p of normalised counts where the transform says so, (n_cells, n_genes).
        library_size: Total count of every cell, (n_cells,).
        transform: How counts become expression.
    """
    expected = np.expm1(expression) if transform.log else expression
    if transform.library_size is None:
        return expected
    return expected * (library_size.astype(np.float32) / np.float32(transform.library_size))[:, None]


def posterior(expression: np.ndarray, shares: np.ndarray, transform: InputTransform) -> np.ndarray:
    """Return an estimate multiplied by the cells' own shares, in the space it came in, float32 (n_cells, n_genes).

    Args:
        expression: Decoded into the target batch, (n_cells, n_genes).
        shares: From :meth:`CountPrior.shares`.
        transform: How counts become expression.
    """
    if not transform.log:
        return expression * shares
    return np.log1p(np.expm1(expression) * shares)


def fit_count_prior(family: ModelFamily, cells: ProcessedCells) -> CountPrior:
    """Fit to the validation cells; memory does not grow with their number.

    Args:
        family: A trained family that can encode and decode.
        cells: The processed cells it was trained on.

    Raises:
        NoCountPriorError: There are no validation cells, or the family estimates something else than log expression.
    """
    if not family.output_space.startswith("log1p"):
        raise NoCountPriorError(
            f"Posterior counts need estimates of log expression; a model of family '{family.name}' gives "
            f"{family.output_space}. Do without posterior_counts (`--layers`)."
        )
    validation = np.flatnonzero((cells.obs[SPLIT] == VALID).to_numpy())
    if not len(validation):
        raise NoCountPriorError(
            "Posterior counts are fitted to validation cells, and there are none. Set input_ds.split.valid_cells to 0.1, "
            "then process and train again, or do without posterior_counts (`--layers`)."
        )
    sums = _Sums(len(family.data.batches), cells.n_vars)
    with progress("Fitting the prior of counts, cell", len(validation)) as report:
        for start in range(0, len(validation), _CELLS_AT_ONCE):
            chosen = validation[start : start + _CELLS_AT_ONCE]
            _add_cells(sums, family, ProcessedCells.of(cells.at(chosen, with_expression=False)))
            report(start + len(chosen))
    return sums.prior()


def _add_cells(sums: "_Sums", family: ModelFamily, cells: ProcessedCells) -> None:
    labels = own_labels(cells, family.data.batches)
    for piece in encoded_slices(family, cells, labels):
        own = labels[piece.cells]
        decoded = decoded_into(family, piece, own)
        expected = expected_counts(decoded.expression, cells.library_size[piece.cells], family.transform())
        counts = cells.counts[piece.cells].toarray()
        if cells.panels is not None:
            measured = cells.panels.measured(piece.cells)
            counts, expected = (np.where(measured, values, 0) for values in (counts, expected))
        sums.add(counts, expected, own.argmax(axis=1))


class _Sums:
    """Sums over cells of observed and expected counts, their squares and products, by batch and gene."""

    def __init__(self, n_batches: int, n_genes: int):
        self._sums: Mapping[str, np.ndarray] = {
            name: np.zeros((n_batches, n_genes)) for name in ("y", "e", "yy", "ye", "ee")
        }

    def add(self, counts: np.ndarray, expected: np.ndarray, batch: np.ndarray) -> None:
        """Add cells, (n_cells, n_genes) each, with the number of their batch, (n_cells,)."""
        y, e = counts.astype(np.float64), expected.astype(np.float64)
        products = {"y": y, "e": e, "yy": y * y, "ye": y * e, "ee": e * e}
        for one in np.unique(batch):
            for name, values in products.items():
                self._sums[name][one] += values[batch == one].sum(axis=0)

    def prior(self) -> CountPrior:
        y, e, yy, ye, ee = (self._sums[name] for name in ("y", "e", "yy", "ye", "ee"))
        ratio = _ratio(y, e)
        spread = (yy - 2.0 * ratio * ye + ratio**2 * ee - ratio * e).sum(axis=0)  # Σ (y − F E)² − F E
        evidence = (ratio**2 * ee).sum(axis=0)  # times 1 / a it is what the line above has as expectation
        overall = max(float(spread.sum()), 0.0) / max(float(evidence.sum()), 1.0)
        inverse = (spread + _SQUARED_COUNTS * overall) / (evidence + _SQUARED_COUNTS)
        size = 1.0 / np.maximum(inverse, _SMALLEST_SPREAD)
        return CountPrior(size.astype(np.float32), ratio.astype(np.float32))


def _ratio(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return F; a batch without cells gets that of all batches together."""
    of_all = _shrunk(observed.sum(axis=0), expected.sum(axis=0))
    has_cells = expected.sum(axis=1) > 0
    return np.stack(
        [_shrunk(y, e) if known else of_all for y, e, known in zip(observed, expected, has_cells, strict=True)]
    )


def _shrunk(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    overall = observed.sum() / max(float(expected.sum()), 1e-12)
    return (observed + _EXPECTED_COUNTS * overall) / (expected + _EXPECTED_COUNTS)
