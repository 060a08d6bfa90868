"""One processed data set of old and new cells, described as a whole."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from discern.errors import ShapeError
from discern.io.annotation import join_obs, join_proteins
from discern.io.data import DISCERNData
from discern.io.raw_counts import PROTEIN_EXPRESSION, protein_table
from discern.io.record_format import require_counts
from discern.io.writing import write_h5ad
from discern.keys import BATCH, COUNTS, N_CELLS, SPLIT
from discern.preprocessing.filtering import count_cells_per_gene
from discern.preprocessing.row_chunks import row_chunks
from discern.preprocessing.split_summary import split_summary


def save_data(file: str | Path, data: AnnData, old_data: AnnData) -> DISCERNData:
    """Write old and new cells into one processed file, which appears whole or not at all.

    Args:
        file: The h5ad file.
        data: New cells from :class:`~discern.online_learning.OnlineWAERecipe`.
        old_data: The processed cells it was made for.

    Returns:
        What was written.

    Raises:
        ShapeError: The genes differ.
        DataError: One of them lacks raw counts.
    """
    joined = join_cells(old_data, data)
    write_h5ad(joined, Path(file))
    return joined


def join_cells(old: AnnData, new: AnnData) -> DISCERNData:
    """Return old cells followed by new ones; neither is changed.

    Genes, scaling and components are those of ``old``; new batches come after the old ones; ``uns["DISCERN"]`` counts
    all cells. New cells whose names are taken get a suffix.

    Raises:
        ShapeError: The genes differ.
        DataError: One of them lacks raw counts.
    """
    _require_same_genes(old, new)
    before, added = DISCERNData(old, batch_size=1), DISCERNData(new, batch_size=1)
    counts = [require_counts(cells.layers.get(COUNTS), name) for name, cells in _named(before, added)]
    obs = join_obs([before.obs, added.obs])
    obs[BATCH] = _joined_batches(before, added)
    var = before.var.copy()
    if N_CELLS in var:
        var[N_CELLS] += count_cells_per_gene(row_chunks(counts[1]), np.ones(added.n_obs, dtype=bool), added.n_vars)
    joined = AnnData(
        sparse.vstack([sparse.csr_matrix(before.X), sparse.csr_matrix(added.X)], format="csr"),
        obs=obs,
        var=var,
        uns=dict(before.uns),
        varm=dict(before.varm),
        layers={COUNTS: sparse.vstack(counts, format="csr")},
    )
    proteins = join_proteins([_proteins(before), _proteins(added)], [before.n_obs, added.n_obs])
    if proteins is not None:
        joined.obsm[PROTEIN_EXPRESSION] = proteins.set_axis(joined.obs_names)
    result = DISCERNData(joined, getattr(old, "batch_size", 1))
    result.config = {**before.config, **_description(result)}
    return result


def _require_same_genes(old: AnnData, new: AnnData) -> None:
    if list(old.var_names) != list(new.var_names):
        raise ShapeError(
            f"The new cells have {new.n_vars} genes, the old ones {old.n_vars} (or the same number of others). "
            "Preprocess the new cells with OnlineWAERecipe(old_data, ...)."
        )


def _named(old: DISCERNData, new: DISCERNData) -> list[tuple[str, DISCERNData]]:
    return [("The old data", old), ("The new data", new)]


def _joined_batches(old: DISCERNData, new: DISCERNData) -> pd.Categorical:
    present = set(new.obs[BATCH].astype(str))
    names = [*old.batches, *(name for name in new.batches if name in present and name not in old.batches)]
    labels = np.concatenate([cells.obs[BATCH].astype(str).to_numpy(dtype=object) for cells in (old, new)])
    return pd.Categorical(labels, categories=names)


def _proteins(data: DISCERNData) -> pd.DataFrame | None:
    values = data.obsm.get(PROTEIN_EXPRESSION)
    return None if values is None else protein_table(values, data.obs_names)


def _description(data: DISCERNData) -> dict[str, object]:
    codes = data.obs[BATCH].cat.codes.to_numpy(dtype=np.int64)
    roles = data.obs[SPLIT].to_numpy(dtype=object)
    return {
        "batch_key": {str(code): name for code, name in enumerate(data.batches)},
        **split_summary(roles, codes, data.batches),
    }
