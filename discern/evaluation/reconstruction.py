"""Cells decoded into the target batch, in memory, for as many genes as are evaluated."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from discern.errors import DiscernError
from discern.io.data import DISCERNData
from discern.io.processed_cells import ProcessedCells
from discern.models.contract import ModelFamily
from discern.projection.batch_labels import BatchLabels, own_labels
from discern.projection.count_prior import CountPrior, posterior
from discern.projection.decoding import decoded_into, encoded_slices, with_zeros


@dataclass(frozen=True)
class Reconstruction:
    """Cells as if they were of the target batch.

    Attributes:
        latent: Their codes, (n_cells, n_latent).
        expression: What the decoder expects, log expression, float32 (n_cells, n_genes).
        drawn: The same after drawing zeros, CSR; None for a family that estimates no probabilities.
        posterior: ``expression`` corrected by the cells' own counts; None without a prior of counts.
    """

    latent: np.ndarray
    expression: np.ndarray
    drawn: sparse.csr_matrix | None
    posterior: np.ndarray | None


def reconstruct_into(
    family: ModelFamily,
    data: DISCERNData,
    target: str,
    genes: np.ndarray,
    seed: int,
    prior: CountPrior | None = None,
) -> Reconstruction:
    """Decode cells into one batch.

    Args:
        family: A trained family that can encode and decode.
        data: Processed cells, in memory.
        target: A batch of the model.
        genes: Positions of the genes to return, (n_genes,).
        seed: Drives the zeros that are drawn.
        prior: What the cells' own counts add.

    Raises:
        DiscernError: The family cannot do this, or gives something else than log expression.
    """
    if not family.output_space.startswith("log1p"):
        raise DiscernError(
            f"An evaluation compares log expression; a model of family '{family.name}' gives {family.output_space}."
        )
    batches = family.data.batches
    into = BatchLabels.same_for_all(np.eye(len(batches), dtype=np.float32)[batches.index(target)], data.n_obs)
    latent: list[np.ndarray] = []
    drawn: list[sparse.csr_matrix] = []
    expression = np.empty((data.n_obs, len(genes)), dtype=np.float32)
    corrected = None if prior is None else np.empty_like(expression)
    has_probability = False
    cells, own, rng = ProcessedCells.of(data), own_labels(data, batches), np.random.default_rng(seed)
    for encoded in encoded_slices(family, cells, own):
        piece = with_zeros(encoded, decoded_into(family, encoded, into[encoded.cells]), rng, genes)
        latent.append(piece.latent.mean)
        drawn.append(piece.expression)
        expression[piece.cells] = piece.decoded.expression
        has_probability = piece.decoded.probability is not None
        if prior is not None and corrected is not None:
            own_batch, transform = own[encoded.cells], family.transform()
            in_own_batch = decoded_into(family, encoded, own_batch)
            shares = prior.shares_of(in_own_batch, cells, encoded.cells, own_batch, transform)[:, genes]
            corrected[piece.cells] = posterior(piece.decoded.expression, shares, transform)
    zeros = sparse.vstack(drawn, format="csr") if has_probability else None
    return Reconstruction(np.concatenate(latent), expression, zeros, corrected)


def latent_codes(family: ModelFamily, data: DISCERNData) -> np.ndarray:
    """Return the codes of cells, (n_cells, n_latent).

    Args:
        family: A trained family that can encode.
        data: Processed cells, in memory.
    """
    slices = encoded_slices(family, data, own_labels(data, family.data.batches))
    return np.concatenate([piece.latent.mean for piece in slices])
