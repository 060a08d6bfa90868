"""Projection of processed cells into files, slice by slice."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from discern import __version__
from discern.errors import DataError, ShapeError
from discern.io.data import DISCERNData
from discern.io.growing_arrays import ChunkWriter
from discern.io.processed_cells import ProcessedCells
from discern.io.projection_writer import ProjectionWriter
from discern.io.raw_counts import PROTEIN_EXPRESSION
from discern.io.record_schema import genes_digest
from discern.io.transform import InputTransform
from discern.keys import ESTIMATED_COUNTS, ESTIMATED_DROPOUTS, LATENT, LATENT_LOG_STD, POSTERIOR_COUNTS, RUN_SUMMARY
from discern.models.contract import Latent, ModelFamily
from discern.progress import progress
from discern.projection.batch_labels import own_labels
from discern.projection.content import ProjectedContent, gene_positions
from discern.projection.count_prior import CountPrior, posterior
from discern.projection.decoding import DecodedSlice, decoded_into, encoded_slices, with_zeros
from discern.projection.targets import Target, file_names, target_labels

LATENT_FILE = "latent.h5ad"


def project_cells(
    family: ModelFamily,
    data: DISCERNData | ProcessedCells,
    targets: Sequence[Target],
    folder: Path,
    *,
    seed: int = 0,
    store_sigmas: bool = False,
    content: ProjectedContent | None = None,
    prior: CountPrior | None = None,
) -> list[Path]:
    """Write one file per target; the cells are encoded once and memory does not grow with their number.

    Latent codes do not depend on the target: with ``content.latent_only`` there is one file whatever the targets.
    Nothing is written when one of the targets is impossible.

    Args:
        family: A trained family that can encode and decode.
        data: Processed cells; matrices on disk are read a minibatch at a time.
        targets: What is asked for.
        folder: Where the files are written.
        seed: Drives the zeros that are drawn, the same way for every target and whatever the content.
        store_sigmas: Keep the latent log standard deviations in obsm.
        content: What is written; everything when None.
        prior: What the cells' own counts add; without it there are no ``posterior_counts``.
    """
    check_genes(family, data)
    cells, content = ProcessedCells.of(data), content or ProjectedContent()
    if content.latent_only:
        return [_write_latent_codes(family, cells, folder / LATENT_FILE, store_sigmas, content.model_sha256)]
    genes = None if content.genes is None else gene_positions(cells.var_names, content.genes)
    own = own_labels(cells, family.data.batches)
    labels = [target_labels(cells.obs, own, target, family.data.batches) for target in targets]
    paths = [folder / name for name in file_names(targets, cells.obs, family.data.batches)]
    if len(set(paths)) < len(paths):
        twice = sorted({str(path) for path in paths if paths.count(path) > 1})
        raise DataError(f"Two targets are one and would be written to the same file: {', '.join(twice)}. Name it once.")
    raw = cells.expression if content.raw else None
    with ExitStack() as stack:
        chunks = stack.enter_context(ChunkWriter())
        var = cells.var if genes is None else cells.var.iloc[genes]
        summaries = [target_summary(family, target, seed, content.model_sha256) for target in targets]
        varm = cells.measured_varm(genes)
        writers = [_writer(stack, path, cells, var, varm, summaries[i], chunks) for i, path in enumerate(paths)]
        if raw is not None:
            for writer in writers:
                writer.start_raw(cells.var, raw)
        generators = [np.random.default_rng(seed) for _ in targets]
        report = stack.enter_context(progress("Projecting, cell", cells.n_obs))
        for encoded in encoded_slices(family, cells, own):
            as_they_were = None if raw is None else raw[encoded.cells]
            own_batch, in_own_batch, shares = own[encoded.cells], None, None
            if prior is not None and content.holds(POSTERIOR_COUNTS):
                in_own_batch = decoded_into(family, encoded, own_batch)
                shares = prior.shares_of(in_own_batch, cells, encoded.cells, own_batch, family.transform())
                shares = shares if genes is None else shares[:, genes]
            for writer, target_batch, rng in zip(writers, labels, generators, strict=True):
                into = target_batch[encoded.cells]
                if in_own_batch is not None and np.array_equal(into, own_batch):
                    decoded = in_own_batch
                else:
                    decoded = decoded_into(family, encoded, into)
                piece = with_zeros(encoded, decoded, rng, genes)
                writer.append(
                    piece.expression,
                    layers_of(piece, content, family.transform(), shares),
                    embeddings_of(piece.latent, store_sigmas),
                    as_they_were,
                )
            report(encoded.cells.stop)
    return paths


def _write_latent_codes(
    family: ModelFamily, cells: ProcessedCells, path: Path, store_sigmas: bool, model_sha256: str
) -> Path:
    own = own_labels(cells, family.data.batches)
    summary = {"version": __version__, "family": family.name, "model_sha256": model_sha256}
    with ExitStack() as stack:
        chunks = stack.enter_context(ChunkWriter())
        writer = _writer(stack, path, cells, cells.var, cells.measured_varm(), summary, chunks)
        report = stack.enter_context(progress("Encoding, cell", cells.n_obs))
        for encoded in encoded_slices(family, cells, own):
            writer.append(None, {}, embeddings_of(encoded.latent, store_sigmas))
            report(encoded.cells.stop)
    return path


def _writer(
    stack: ExitStack,
    path: Path,
    cells: ProcessedCells,
    var: pd.DataFrame,
    varm: Mapping[str, Any],
    summary: Mapping[str, Any],
    chunks: ChunkWriter,
) -> ProjectionWriter:
    writer = stack.enter_context(ProjectionWriter(path, cells.obs, var, {RUN_SUMMARY: summary}, chunks, varm=varm))
    if cells.proteins is not None:
        writer.write_obsm(PROTEIN_EXPRESSION, cells.proteins)
    return writer


def check_genes(family: ModelFamily, data: DISCERNData | ProcessedCells) -> None:
    """Refuse cells with other genes than the model's, or in another order.

    Raises:
        ShapeError: The numbers differ, or the names where the model knows them.
    """
    if data.n_vars != family.data.n_genes:
        raise ShapeError(
            f"The cells have {data.n_vars} genes, the model was trained on {family.data.n_genes}. "
            "Preprocess them with the genes of the model (`discern onlinetraining` does)."
        )
    if family.data.genes_sha256 and family.data.genes_sha256 != genes_digest(data.var_names):
        raise ShapeError(
            f"The cells have {data.n_vars} genes and the model was trained on {family.data.n_genes}, but they are others "
            "or stand in another order. Give the cells the genes of the model's processed data, in their order."
        )


def layers_of(
    piece: DecodedSlice, content: ProjectedContent, transform: InputTransform, shares: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the layers of decoded cells as they are written; a family may not estimate all of them.

    Args:
        piece: Decoded cells.
        content: What is written.
        transform: How counts become expression.
        shares: From :meth:`CountPrior.shares_of`, of the same genes; without it there are no posterior counts.
    """
    expression = piece.decoded.expression
    estimates = {
        ESTIMATED_COUNTS: expression,
        ESTIMATED_DROPOUTS: piece.decoded.probability,
        POSTERIOR_COUNTS: None if shares is None else posterior(expression, shares, transform),
    }
    return {
        name: content.as_layer(values)
        for name, values in estimates.items()
        if content.holds(name) and values is not None
    }


def embeddings_of(latent: Latent, store_sigmas: bool) -> dict[str, np.ndarray]:
    """Return the latent codes as they are written."""
    embeddings = {LATENT: latent.mean}
    if store_sigmas and latent.log_std is not None:
        embeddings[LATENT_LOG_STD] = latent.log_std
    return embeddings


def target_summary(family: ModelFamily, target: Target, seed: int, model_sha256: str = "") -> Mapping[str, Any]:
    """Return what a projected file tells of how it was made; no time, so that equal runs give equal files."""
    return {
        "version": __version__,
        "family": family.name,
        "model_sha256": model_sha256,
        "output_space": family.output_space,
        "target_column": target.column or "",
        "target_value": target.value or "",
        "seed": seed,
    }
