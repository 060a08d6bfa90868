"""Projection of processed cells into memory."""

import numpy as np
from anndata import AnnData
from anndata.io import read_elem
from h5py import Dataset, Group
from scipy import sparse

from discern.io.data import DISCERNData
from discern.io.processed_cells import ProcessedCells
from discern.io.raw_counts import PROTEIN_EXPRESSION
from discern.io.writing import csr_when_smaller
from discern.keys import RUN_SUMMARY
from discern.models.contract import ModelFamily
from discern.projection.batch_labels import own_labels
from discern.projection.content import ProjectedContent
from discern.projection.decoding import decoded_slices, encoded_slices
from discern.projection.project import check_genes, embeddings_of, layers_of, target_summary
from discern.projection.targets import Target, target_labels


def reconstruct_cells(
    family: ModelFamily,
    data: DISCERNData | ProcessedCells,
    target: Target,
    *,
    seed: int = 0,
    store_sigmas: bool = False,
) -> AnnData:
    """Return all cells decoded into a target.

    Args:
        family: A trained family that can encode and decode.
        data: Processed cells; their batches are matched with the model's by name.
        target: Into which batch they are decoded.
        seed: Drives the zeros that are drawn.
        store_sigmas: Keep the latent log standard deviations in obsm.

    Returns:
        X: expression with zeros drawn (CSR when smaller); raw: the input; layers and obsm as in the written files.
    """
    check_genes(family, data)
    cells, content = ProcessedCells.of(data), ProjectedContent()
    own = own_labels(cells, family.data.batches)
    labels = target_labels(cells.obs, own, target, family.data.batches)
    rows: list[sparse.csr_matrix] = []
    layers: dict[str, np.ndarray] = {}
    obsm: dict[str, np.ndarray] = {}
    slices = encoded_slices(family, cells, own)
    for piece in decoded_slices(family, slices, labels, np.random.default_rng(seed)):
        rows.append(piece.expression)
        for whole, parts in (
            (layers, layers_of(piece, content, family.transform())),
            (obsm, embeddings_of(piece.latent, store_sigmas)),
        ):
            for name, part in parts.items():
                if name not in whole:
                    whole[name] = np.empty((cells.n_obs, part.shape[1]), part.dtype)
                whole[name][piece.cells] = part
    expression = sparse.vstack(rows, format="csr")
    dense_bytes = expression.shape[0] * expression.shape[1] * expression.dtype.itemsize
    adata = AnnData(
        expression if expression.data.nbytes * 2 < dense_bytes else csr_when_smaller(expression.toarray()),
        obs=cells.obs.copy(),
        var=cells.var.copy(),
        uns={RUN_SUMMARY: target_summary(family, target, seed)},
        varm=cells.measured_varm(),
        layers=layers,
        obsm=obsm,
    )
    if cells.proteins is not None:
        stored = isinstance(cells.proteins, Group | Dataset)
        adata.obsm[PROTEIN_EXPRESSION] = read_elem(cells.proteins) if stored else cells.proteins.copy()
    before = data.X.copy() if isinstance(data, DISCERNData) else cells.expression[slice(0, cells.n_obs)]
    adata.raw = AnnData(before, obs=adata.obs[[]], var=cells.var)
    return adata
