"""Encode once, decode into any number of targets, a slice of cells at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from discern.io.batch_labels import batch_codes
from discern.io.data import DISCERNData
from discern.io.record_format import require_counts, require_library_size
from discern.io.zero_drawing import draw_zeros
from discern.keys import COUNTS
from discern.models.contract import Decoded, Latent, ModelFamily, Reconstructs, require


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


def own_labels(data: DISCERNData, batches: Sequence[str]) -> np.ndarray:
    """Return one-hot batch labels in the order of the model's batches, matched by name; (n_cells, n_batches)."""
    return np.eye(len(batches), dtype=np.float32)[batch_codes(data.obs, batches)]


def encoded_slices(
    family: ModelFamily, data: DISCERNData, source_batch: np.ndarray, batch_size: int
) -> Iterator[tuple[slice, Latent]]:
    """Yield the latent codes of neighbouring cells.

    Args:
        family: A family that can encode.
        data: Processed data; its cells are transformed as the family wants.
        source_batch: Batch labels of the encoder, (n_cells, n_batches).
        batch_size: Cells per slice.
    """
    counts = require_counts(data.layers.get(COUNTS), "The data")
    library_size = require_library_size(data.obs)
    transform = family.transform()
    encoder = require(family, Reconstructs, "encode cells")
    for start in range(0, data.n_obs, batch_size):
        cells = slice(start, min(start + batch_size, data.n_obs))
        expression = transform.dense(counts[cells], library_size[cells])
        yield cells, encoder.encode(expression, source_batch[cells])


def decoded_slices(
    family: ModelFamily,
    latents: Iterator[tuple[slice, Latent]],
    target_batch: np.ndarray,
    rng: np.random.Generator,
) -> Iterator[DecodedSlice]:
    """Decode slices of cells into their targets and draw zeros.

    Args:
        family: A family that can decode.
        latents: From :func:`encoded_slices`.
        target_batch: Batch labels of the decoder, (n_cells, n_batches).
        rng: Source of the draws; the result does not depend on the size of the slices.
    """
    decoder = require(family, Reconstructs, "decode cells")
    for cells, latent in latents:
        # one row may stand for all cells there; the network reads an array of its own
        decoded = decoder.decode(latent.mean, np.ascontiguousarray(target_batch[cells]))
        expression = decoded.expression
        if decoded.probability is not None:
            expression = draw_zeros(expression, decoded.probability, rng)
        yield DecodedSlice(cells, latent, decoded, sparse.csr_matrix(expression))
