"""A reference that others can add cells to, without its own: what was learned stays, what tells of single cells goes."""

import copy
from typing import Any

import pandas as pd
from anndata import AnnData
from scipy import sparse

from discern import keys
from discern.io.data import DISCERNData

_COLUMNS = (keys.BATCH, keys.DATASET, keys.N_GENES, keys.N_COUNTS, keys.SPLIT, keys.FOR_MMD)
_NAMES = (keys.BATCH, keys.DATASET)
_LEARNED = ("batch_key", "common_genes_count", "mmd_kernel", "scale")


def without_cells(reference: DISCERNData, n_train_cells: int) -> DISCERNData:
    """Return processed data of no cells, with the genes, batches, scaling and components of a reference.

    Names of batches and data sets stay, in their order. Other annotation of cells goes with its categories, which may be
    names of donors; so do proteins.

    Args:
        reference: Processed cells, or their annotation alone.
        n_train_cells: Cells that the model was trained on.
    """
    n_genes = reference.n_vars
    nothing = sparse.csr_matrix((0, n_genes), dtype="float32")
    varm = {key: reference.varm[key] for key in (keys.PCS, keys.MEASURED) if key in reference.varm}
    uns = {key: copy.deepcopy(reference.uns[key]) for key in (keys.FIXED_SCALING,) if key in reference.uns}
    adata = AnnData(
        nothing,
        obs=_no_cells(reference.obs),
        var=reference.var.copy(),
        varm=varm,
        uns=uns,
        layers={keys.COUNTS: nothing.copy()},
    )
    result = DISCERNData(adata, reference.batch_size)
    known = {key: value for key, value in reference.config.items() if key in _LEARNED}
    result.config = (
        known | _counts_of_none(reference.batches) | {keys.CELLS_ELSEWHERE: {"n_train_cells": n_train_cells}}
    )
    return result


def _no_cells(obs: pd.DataFrame) -> pd.DataFrame:
    chosen = obs[[name for name in _COLUMNS if name in obs]].copy()
    for name in _NAMES:
        if name in chosen:
            chosen[name] = chosen[name].astype("category")
    return chosen.iloc[:0]


def _counts_of_none(batches: list[str]) -> dict[str, Any]:
    totals = dict.fromkeys(("total_count", "total_train_count", "total_valid_count"), 0)
    numbers = {key: dict.fromkeys(batches, 0) for key in ("valid_cells_no", "train_cells_no")}
    return {"batch_ratios": dict.fromkeys(batches, 0.0), **numbers, **totals}
