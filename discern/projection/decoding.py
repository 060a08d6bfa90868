"""Encode once, decode into any number of targets, a slice of cells at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from discern.io.data import DISCERNData
from discern.io.processed_cells import ProcessedCells
from discern.io.zero_drawing import draw_zeros
from discern.models.contract import Decoded, Latent, ModelFamily, Reconstructs, require
from discern.projection.batch_labels import BatchLabels


@dataclass(frozen=True)
class EncodedSlice:
    """Neighbouring cells after encoding.

    Attributes:
        cells: Which cells.
        latent: Their codes.
        batch_size: Cells of every minibatch; where these are fewer, the decoder gets so many all the same.
    """

    cells: slice
    latent: Latent
    batch_size: int


@dataclass(frozen=True)
class DecodedSlice:
    """Neighbouring cells after decoding.

    Attributes:
        cells: Which cells.
        latent: Their codes.
        decoded: What the decoder estimates, in the family's output space.
        expression: The estimate after drawing zeros, CSR (n_cells, n_genes).
    """

    cells: slice
    latent: Latent
    decoded: Decoded
    expression: sparse.csr_matrix


def encoded_slices(
    family: ModelFamily, data: DISCERNData | ProcessedCells, source_batch: BatchLabels
) -> Iterator[EncodedSlice]:
    """Yield the latent codes of neighbouring cells, a minibatch of the data at a time.

    The last minibatch is filled up with empty cells: the last bits of a matrix product depend on its number of rows, and
    a cell's codes shall not depend on how many other cells there are.

    Args:
        family: A family that can encode.
        data: Processed data; its cells are transformed as the family wants. Of genes that their data set did not measure
            the encoder gets the mean.
        source_batch: Batch labels of the encoder.
    """
    processed = ProcessedCells.of(data)
    counts, library_size, panels = processed.counts, processed.library_size, processed.panels
    transform = family.transform()
    encoder = require(family, Reconstructs, "encode cells")
    for start in range(0, processed.n_obs, processed.batch_size):
        cells = slice(start, min(start + processed.batch_size, processed.n_obs))
        measured = None if panels is None else panels.measured(cells)
        expression = _filled(transform.dense(counts[cells], library_size[cells], measured), processed.batch_size)
        latent = encoder.encode(expression, _filled(source_batch[cells], processed.batch_size))
        n_cells = cells.stop - start
        codes = Latent(latent.mean[:n_cells], None if latent.log_std is None else latent.log_std[:n_cells])
        yield EncodedSlice(cells, codes, processed.batch_size)


def slices_of_codes(latent_mean: np.ndarray, batch_size: int) -> Iterator[EncodedSlice]:
    """Yield codes that are known, (n_cells, n_latent), a minibatch at a time."""
    for start in range(0, len(latent_mean), batch_size):
        cells = slice(start, min(start + batch_size, len(latent_mean)))
        yield EncodedSlice(cells, Latent(latent_mean[cells]), batch_size)


def decoded_slices(
    family: ModelFamily,
    encoded: Iterable[EncodedSlice],
    target_batch: BatchLabels,
    rng: np.random.Generator,
    genes: np.ndarray | None = None,
) -> Iterator[DecodedSlice]:
    """Decode slices of cells into their targets and draw zeros.

    Args:
        family: A family that can decode.
        encoded: From :func:`encoded_slices` or :func:`slices_of_codes`.
        target_batch: Batch labels of the decoder.
        rng: Source of the draws; the result does not depend on the size of the slices.
        genes: Positions of the genes to return, (n_genes,); all when None. The draws are the same.
    """
    for piece in encoded:
        yield with_zeros(piece, decoded_into(family, piece, target_batch[piece.cells]), rng, genes)


def with_zeros(
    piece: EncodedSlice, decoded: Decoded, rng: np.random.Generator, genes: np.ndarray | None = None
) -> DecodedSlice:
    """Draw the zeros of one decoded slice of cells.

    Args:
        piece: Encoded cells.
        decoded: What the decoder estimates of them.
        rng: Source of the draws.
        genes: Positions of the genes to return, (n_genes,); all when None. The draws are the same.
    """
    expression = decoded.expression
    if decoded.probability is not None:
        expression = draw_zeros(expression, decoded.probability, rng)
    if genes is not None:
        expression, decoded = expression[:, genes], _only(decoded, genes)
    return DecodedSlice(piece.cells, piece.latent, decoded, sparse.csr_matrix(expression))


def decoded_into(family: ModelFamily, piece: EncodedSlice, labels: np.ndarray) -> Decoded:
    """Return what the decoder estimates of one slice of cells.

    A slice of fewer cells than a minibatch is filled up, for the same reason as in :func:`encoded_slices`.

    Args:
        family: A family that can decode.
        piece: Encoded cells.
        labels: Batch labels of the decoder, (n_cells, n_batches).
    """
    decoder = require(family, Reconstructs, "decode cells")
    latent_mean, labels = (_filled(rows, piece.batch_size) for rows in (piece.latent.mean, labels))
    return _first(decoder.decode(latent_mean, labels), len(piece.latent.mean))


def _filled(rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Return at least so many rows; those that are added are zero."""
    missing = n_rows - len(rows)
    return np.pad(rows, ((0, missing), (0, 0))) if missing > 0 else rows


def _first(decoded: Decoded, n_cells: int) -> Decoded:
    probability = None if decoded.probability is None else decoded.probability[:n_cells]
    return Decoded(decoded.expression[:n_cells], probability)


def _only(decoded: Decoded, genes: np.ndarray) -> Decoded:
    probability = None if decoded.probability is None else decoded.probability[:, genes]
    return Decoded(decoded.expression[:, genes], probability)
