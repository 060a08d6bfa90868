"""The processed cells that a model was trained on, as new cells need them: without their matrices."""

import warnings
from pathlib import Path
from typing import Any

import h5py
from anndata import AnnData, OldFormatWarning
from anndata.io import read_elem

from discern import keys
from discern.errors import DataError, DiscernError
from discern.io.data import DISCERNData, require_whole
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
    require_whole(path)
    try:
        with h5py.File(path, "r") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", OldFormatWarning)
            adata = _annotation(file, path)
    except DiscernError:
        raise
    except Exception as error:  # of any class: anndata has some of its own
        raise DataError(f"{path} cannot be read as h5ad: {error}") from error
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
    if keys.DISCERN not in uns or keys.BATCH not in obs:
        raise DataError(
            f"{path} was not written by preprocessing: uns['{keys.DISCERN}'] or obs['{keys.BATCH}'] is missing. "
            "Run `discern process` on the raw data first."
        )
    uns[keys.DISCERN] = plain(uns[keys.DISCERN])
    obs[keys.BATCH] = obs[keys.BATCH].astype("category")
    proteins = file.get(f"obsm/{PROTEIN_EXPRESSION}")
    obsm = {} if proteins is None else {PROTEIN_EXPRESSION: protein_table(read_elem(proteins), obs.index)}
    return AnnData(obs=obs, var=var, uns=uns, varm=varm, obsm=obsm)
