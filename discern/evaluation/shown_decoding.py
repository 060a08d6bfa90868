"""The cells that a report shows, decoded into the target batch, and the zeros that were expected in it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from discern.io.processed_cells import ProcessedCells
from discern.models.contract import ModelFamily
from discern.plotting.zero_calibration import ZeroCalibration
from discern.projection.batch_labels import BatchLabels, own_labels
from discern.projection.decoding import decoded_slices, encoded_slices


@dataclass(frozen=True)
class Decoding:
    """Cells decoded into the target batch.

    Attributes:
        latent: Codes, float32 (n_cells, n_latent).
        expression: What the decoder expects, of the chosen genes, float32 (n_cells, n_chosen).
        total: Sum over all genes of the expected expression, no longer a logarithm, (n_cells,).
        expected_zeros: For every gene the expected share of target cells without a count, (n_genes,); None for a family
            that estimates no probabilities.
        observed_zeros: The share of target cells that had none, (n_genes,); NaN for a gene that was not measured.
        calibration: The same by estimated probability.
    """

    latent: np.ndarray
    expression: np.ndarray
    total: np.ndarray
    expected_zeros: np.ndarray | None
    observed_zeros: np.ndarray
    calibration: pd.DataFrame | None


def decode(
    family: ModelFamily, cells: ProcessedCells, target: str, genes: np.ndarray, of_target: np.ndarray
) -> Decoding:
    """Decode cells into one batch; compare the zeros of cells that are from it.

    Args:
        family: A trained family that can encode and decode.
        cells: Processed cells in memory.
        target: A batch of the model.
        genes: Positions of the genes to keep, (n_chosen,).
        of_target: Which cells are from the target batch, bool (n_cells,).
    """
    batches = family.data.batches
    into = BatchLabels.same_for_all(np.eye(len(batches), dtype=np.float32)[batches.index(target)], cells.n_obs)
    latent: list[np.ndarray] = []
    expression, total = np.empty((cells.n_obs, len(genes)), dtype=np.float32), np.empty(cells.n_obs)
    zeros = _Zeros(np.zeros(cells.n_vars), np.zeros(cells.n_vars), np.zeros(cells.n_vars), ZeroCalibration())
    slices = encoded_slices(family, cells, own_labels(cells, batches))
    for piece in decoded_slices(family, slices, into, np.random.default_rng(0)):
        latent.append(piece.latent.mean)
        expression[piece.cells] = piece.decoded.expression[:, genes]
        total[piece.cells] = np.expm1(piece.decoded.expression).sum(axis=1, dtype=np.float64)
        rows = np.flatnonzero(of_target[piece.cells])
        measured = None if cells.panels is None else cells.panels.measured(piece.cells)[rows]
        seen = cells.counts[piece.cells][rows].toarray() > 0
        probability = piece.decoded.probability
        zeros.add(None if probability is None else probability[rows], seen, measured)
    observed = 1 - zeros.share(zeros.seen)
    if not zeros.calibration.n.any():
        return Decoding(np.concatenate(latent), expression, total, None, observed, None)
    expected = 1 - zeros.share(zeros.probability)
    return Decoding(np.concatenate(latent), expression, total, expected, observed, zeros.calibration.table())


@dataclass
class _Zeros:
    """Sums over cells for every gene, (n_genes,) each."""

    n: np.ndarray
    seen: np.ndarray
    probability: np.ndarray
    calibration: ZeroCalibration

    def add(self, probability: np.ndarray | None, seen: np.ndarray, measured: np.ndarray | None) -> None:
        known = np.ones(seen.shape, dtype=bool) if measured is None else measured
        self.n += known.sum(axis=0)
        self.seen += (seen & known).sum(axis=0)
        if probability is not None:
            self.probability += np.where(known, probability, 0).sum(axis=0, dtype=np.float64)
            self.calibration.add(probability[known].astype(np.float64), seen[known])

    def share(self, total: np.ndarray) -> np.ndarray:
        """Return means over the cells in which a gene was measured; NaN without any."""
        return np.divide(total, self.n, out=np.full(len(total), np.nan), where=self.n > 0)
