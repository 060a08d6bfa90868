"""Projection of processed cells: into memory, or into files slice by slice."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from discern import __version__
from discern.errors import DataError, ShapeError
from discern.io.data import DISCERNData
from discern.io.projection_writer import ProjectionWriter
from discern.io.record_format import genes_digest
from discern.io.writing import csr_when_smaller
from discern.keys import ESTIMATED_COUNTS, ESTIMATED_DROPOUTS, LATENT, LATENT_LOG_STD, RUN_SUMMARY
from discern.models.contract import ModelFamily
from discern.progress import progress
from discern.projection.decoding import DecodedSlice, decoded_slices, encoded_slices, own_labels
from discern.projection.targets import Target, target_labels


def reconstruct_cells(
    family: ModelFamily,
    data: DISCERNData,
    target: Target,
    *,
    seed: int = 0,
    store_sigmas: bool = False,
    batch_size: int | None = None,
) -> AnnData:
    """Return all cells decoded into a target.

    Args:
        family: A trained family that can encode and decode.
        data: Processed cells; their batches are matched with the model's by name.
        target: Into which batch they are decoded.
        seed: Drives the zeros that are drawn.
        store_sigmas: Keep the latent log standard deviations in obsm.
        batch_size: Cells per slice; that of ``data`` when None.

    Returns:
        X: expression with zeros drawn (CSR when smaller); raw: the input; layers and obsm as in the written files.
    """
    check_genes(family, data)
    own = own_labels(data, family.data.batches)
    slices = decoded_slices(
        family,
        encoded_slices(family, data, own, batch_size or data.batch_size),
        target_labels(data.obs, own, target),
        np.random.default_rng(seed),
    )
    pieces = [(piece.expression, _layers(piece), _embeddings(piece, store_sigmas)) for piece in slices]
    expression = sparse.vstack([piece[0] for piece in pieces], format="csr")
    dense_bytes = expression.shape[0] * expression.shape[1] * expression.dtype.itemsize
    adata = AnnData(
        expression if expression.data.nbytes * 2 < dense_bytes else csr_when_smaller(expression.toarray()),
        obs=data.obs.copy(),
        var=data.var.copy(),
        uns={RUN_SUMMARY: _summary(family, target, seed)},
        layers={name: np.concatenate([piece[1][name] for piece in pieces]) for name in pieces[0][1]},
        obsm={name: np.concatenate([piece[2][name] for piece in pieces]) for name in pieces[0][2]},
    )
    adata.raw = AnnData(data.X.copy(), obs=adata.obs[[]], var=data.var)
    return adata


def project_cells(
    family: ModelFamily,
    data: DISCERNData,
    targets: Sequence[Target],
    folder: Path,
    *,
    seed: int = 0,
    store_sigmas: bool = False,
    batch_size: int | None = None,
) -> list[Path]:
    """Write one file per target; the cells are encoded once and memory does not grow with their number.

    Nothing is written when one of the targets is impossible.

    Args:
        family: A trained family that can encode and decode.
        data: Processed cells.
        targets: What is asked for.
        folder: Where the files are written.
        seed: Drives the zeros that are drawn, the same way for every target.
        store_sigmas: Keep the latent log standard deviations in obsm.
        batch_size: Cells per slice; that of ``data`` when None.
    """
    check_genes(family, data)
    own = own_labels(data, family.data.batches)
    labels = [target_labels(data.obs, own, target) for target in targets]
    paths = [folder / target.file_name for target in targets]
    if len(set(paths)) < len(paths):
        raise DataError(f"Two of the targets would be written to the same file: {', '.join(map(str, paths))}.")
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                ProjectionWriter(path, data.obs, data.var, {RUN_SUMMARY: _summary(family, target, seed)})
            )
            for path, target in zip(paths, targets, strict=True)
        ]
        for writer in writers:
            writer.write_raw(sparse.csr_matrix(data.X), data.var)
        generators = [np.random.default_rng(seed) for _ in targets]
        report = stack.enter_context(progress("Projecting, cell", data.n_obs))
        for cells, latent in encoded_slices(family, data, own, batch_size or data.batch_size):
            for writer, target_batch, rng in zip(writers, labels, generators, strict=True):
                for piece in decoded_slices(family, iter([(cells, latent)]), target_batch, rng):
                    writer.append(piece.expression, _layers(piece), _embeddings(piece, store_sigmas))
            report(cells.stop)
    return paths


def check_genes(family: ModelFamily, data: DISCERNData) -> None:
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


def _layers(piece: DecodedSlice) -> dict[str, np.ndarray]:
    layers = {ESTIMATED_COUNTS: piece.decoded.expression}
    if piece.decoded.probability is not None:
        layers[ESTIMATED_DROPOUTS] = piece.decoded.probability
    return layers


def _embeddings(piece: DecodedSlice, store_sigmas: bool) -> dict[str, np.ndarray]:
    embeddings = {LATENT: piece.latent.mean}
    if store_sigmas and piece.latent.log_std is not None:
        embeddings[LATENT_LOG_STD] = piece.latent.log_std
    return embeddings


def _summary(family: ModelFamily, target: Target, seed: int) -> Mapping[str, Any]:
    return {
        "version": __version__,
        "family": family.name,
        "output_space": family.output_space,
        "target_column": target.column or "",
        "target_value": target.value or "",
        "seed": seed,
    }
