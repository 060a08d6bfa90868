"""The processed cells that a model was trained on, as new cells need them: without their matrices."""

from pathlib import Path
from typing import Any

import h5py
from anndata import AnnData
from anndata.io import read_elem

from discern import keys
from discern.errors import DataError
from discern.io.data import DISCERNData, reading_processed, require_preprocessed
from discern.io.measured_genes import GenePanels
from discern.io.processed_config import plain
from discern.io.raw_counts import PROTEIN_EXPRESSION, protein_table

BATCH_SIZE = 192


def read_reference(path: Path) -> DISCERNData:
    """Read the annotation of processed cells and genes; the matrices stay on disk.

    Args:
        path: An h5ad that preprocessing wrote.

    Returns:
        Data without X and layers: ``obs``, ``var``, ``uns``, ``varm`` with components and the table of measured genes,
        and the proteins in ``obsm``.

    Raises:
        DataError: The file is absent, damaged, or was not written by preprocessing.
    """
    path = Path(path)
    with reading_processed(path), h5py.File(path, "r") as file:
        adata = _annotation(file, path)
    return processed_reference(adata)


def processed_reference(reference: Any) -> DISCERNData:
    """Return a reference that new cells can be added to; its content is shared.

    Raises:
        DataError: It is no AnnData, was not preprocessed, or its table of measured genes is wrong.
    """
    if not isinstance(reference, AnnData):
        raise DataError(f"reference_adata must be the processed AnnData of a reference, received {type(reference)}.")
    missing = [
        f"{place}['{key}']"
        for place, key in (
            ("uns", keys.DISCERN),
            ("obs", keys.BATCH),
            ("var", keys.MEAN_SCALING),
            ("var", keys.VAR_SCALING),
            ("varm", keys.PCS),
        )
        if key not in getattr(reference, place)
    ]
    if missing:
        raise DataError(
            f"The reference was not preprocessed: {', '.join(missing)} missing. Run `discern process` first."
        )
    if not reference.var_names.is_unique:
        raise DataError("Gene names of the reference occur more than once.")
    GenePanels.of(reference.obs, reference.varm.get(keys.MEASURED), reference.var_names)
    return DISCERNData(reference, getattr(reference, "batch_size", BATCH_SIZE))


def without_matrices(adata: AnnData) -> AnnData:
    """Return the annotation of processed data; X, layers and other tables of the cells than proteins are left out."""
    proteins = {key: adata.obsm[key] for key in (PROTEIN_EXPRESSION,) if key in adata.obsm}
    return AnnData(obs=adata.obs, var=adata.var, uns=dict(adata.uns), varm=dict(adata.varm), obsm=proteins)


def data_sets_of(reference: AnnData) -> list[str]:
    """Return the names of the data sets that a reference holds or held."""
    names = reference.obs[keys.DATASET].astype("category").cat.categories if keys.DATASET in reference.obs else []
    measured = reference.varm[keys.MEASURED].columns if keys.MEASURED in reference.varm else []
    return list(dict.fromkeys(str(name) for name in (*names, *measured)))


def _annotation(file: h5py.File, path: Path) -> AnnData:
    if not isinstance(file["obs"], h5py.Group):  # as anndata stored tables before version 0.7
        return without_matrices(DISCERNData.read_h5ad(path, BATCH_SIZE))
    obs, var, uns, varm = (read_elem(file[key]) if key in file else {} for key in ("obs", "var", "uns", "varm"))
    require_preprocessed(path, obs, uns)
    uns[keys.DISCERN] = plain(uns[keys.DISCERN])
    obs[keys.BATCH] = obs[keys.BATCH].astype("category")
    proteins = file.get(f"obsm/{PROTEIN_EXPRESSION}")
    obsm = {} if proteins is None else {PROTEIN_EXPRESSION: protein_table(read_elem(proteins), obs.index)}
    return AnnData(obs=obs, var=var, uns=uns, varm=varm, obsm=obsm)
