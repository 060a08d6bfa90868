"""Annotation of old and new cells together, wherever their counts are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from discern.errors import ShapeError
from discern.io.annotation import join_obs, join_proteins
from discern.io.data import DISCERNData
from discern.io.raw_counts import PROTEIN_EXPRESSION, protein_table
from discern.keys import BATCH, CELLS_ELSEWHERE, MEASURED, N_CELLS, SPLIT
from discern.preprocessing.split_summary import split_summary

_OF_TEST_CELLS = ("test_cells_no", "total_test_count")


def joined_annotation(old: AnnData, new: AnnData, cells_per_gene: np.ndarray) -> DISCERNData:
    """Return old cells followed by new ones, without matrices; neither is changed.

    Genes, scaling and components are those of ``old``; new batches come after the old ones. ``uns["DISCERN"]`` and
    ``var["n_cells"]`` count all cells that are there. An old part without cells, because these are elsewhere, gives
    ``uns["DISCERN"]["cells_elsewhere"]``: how many cells were trained on. New cells whose names are taken get a suffix.

    Args:
        old: Processed cells, or their annotation.
        new: New cells, or their annotation, prepared by :class:`~discern.online_learning.OnlineWAERecipe`.
        cells_per_gene: In how many new cells each gene is seen, (n_genes,).

    Raises:
        ShapeError: The genes differ.
    """
    _require_same_genes(old, new)
    parts = [DISCERNData(old, batch_size=1), DISCERNData(new, batch_size=1)]
    before, present = parts[0], [part for part in parts if part.n_obs]
    obs = join_obs([part.obs for part in present])  # columns of a table without rows have no types worth keeping
    obs[BATCH] = _joined_batches(*parts)
    var = before.var.copy()
    if N_CELLS in var:
        var[N_CELLS] = cells_per_gene + (var[N_CELLS] if before.n_obs else 0)
    joined = AnnData(obs=obs, var=var, uns=dict(before.uns), varm=dict(before.varm))
    measured = _joined_measured(parts)
    if measured is not None:
        joined.varm[MEASURED] = measured
    proteins = join_proteins([_proteins(part) for part in present], [part.n_obs for part in present])
    if proteins is not None:
        joined.obsm[PROTEIN_EXPRESSION] = proteins.set_axis(joined.obs_names)
    result = DISCERNData(joined, getattr(old, "batch_size", 1))
    result.config = _joined_config(before, result)
    return result


def _require_same_genes(old: AnnData, new: AnnData) -> None:
    if list(old.var_names) != list(new.var_names):
        raise ShapeError(
            f"The new cells have {new.n_vars} genes, the old ones {old.n_vars} (or the same number of others). "
            "Preprocess the new cells with OnlineWAERecipe(old_data, ...)."
        )


def _joined_batches(old: DISCERNData, new: DISCERNData) -> pd.Categorical:
    present = set(new.obs[BATCH].astype(str))
    names = [*old.batches, *(name for name in new.batches if name in present and name not in old.batches)]
    labels = np.concatenate([cells.obs[BATCH].astype(str).to_numpy(dtype=object) for cells in (old, new)])
    return pd.Categorical(labels, categories=names)


def _joined_measured(parts: Sequence[AnnData]) -> pd.DataFrame | None:
    """Return which genes every data set measured; None when all measured all."""
    columns: dict[str, pd.Series] = {}
    for part in parts:
        for name, measured in part.varm[MEASURED].items() if MEASURED in part.varm else ():
            columns[str(name)] = measured & columns.get(str(name), True)
    return pd.DataFrame(columns) if columns else None


def _proteins(data: DISCERNData) -> pd.DataFrame | None:
    values = data.obsm.get(PROTEIN_EXPRESSION)
    return None if values is None else protein_table(values, data.obs_names)


def _joined_config(old: DISCERNData, joined: DISCERNData) -> dict[str, Any]:
    config = {key: value for key, value in old.config.items() if key not in _OF_TEST_CELLS}
    if not old.n_obs:
        config.setdefault(CELLS_ELSEWHERE, {"n_train_cells": int(config.get("total_train_count", 0))})
    codes = joined.obs[BATCH].cat.codes.to_numpy(dtype=np.int64)
    roles = joined.obs[SPLIT].to_numpy(dtype=object)
    batch_key = {str(code): name for code, name in enumerate(joined.batches)}
    return {**config, "batch_key": batch_key, **split_summary(roles, codes, joined.batches)}
