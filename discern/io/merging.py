"""Merge inputs into one data set: the genes they share, all their cells, one batch label per cell."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError, counted
from discern.io.annotation import batch_labels, join_labels, join_obs, join_proteins, join_var
from discern.io.gene_columns import placed_columns
from discern.io.gene_names import explain_no_common_genes, names_differ_in_kind
from discern.io.naming import unique_names
from discern.io.raw_counts import PROTEIN_EXPRESSION, protein_table, to_csr
from discern.io.raw_input import RawInput
from discern.io.row_readers import RowsInMemory
from discern.keys import BATCH, DATASET

_FEW_COMMON_GENES = 0.1
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JoinedAnnotation:
    """What several inputs are as one, but for their counts.

    Attributes:
        adata: Cells and genes without X; proteins in obsm. ``obs`` has the categories ``dataset`` and ``batch``.
        columns: For every input the columns that are the genes of ``adata``, (n_genes,) each; -1 for a gene that it
            does not have.
    """

    adata: AnnData
    columns: list[np.ndarray]


Join = Callable[[Mapping[str, RawInput], Mapping[str, str | None] | None], JoinedAnnotation]


def join_annotation(
    inputs: Mapping[str, RawInput], batch_keys: Mapping[str, str | None] | None = None
) -> JoinedAnnotation:
    """Join the annotation of inputs by the gene names they share; label every cell with its input and its batch.

    Genes keep the order of the first input; cells keep the order of the inputs. The inputs are not changed.

    Args:
        inputs: Name to input.
        batch_keys: Name of the input to the column of obs that holds its batches. Without one it is ``obs["batch"]``
            if present, else the whole input is one batch called like the input.

    Raises:
        DataError: There is no input, a batch column is missing or has missing values, or no gene is common to all.
    """
    if not inputs:
        raise DataError("There is nothing to merge: raw_input names no file.")
    labels = _batch_labels(inputs, batch_keys)
    variables = {name: with_unique_names(one.var) for name, one in inputs.items()}
    genes = _common_genes(variables)
    adata = AnnData(
        obs=_joined_obs(inputs, labels, list(inputs)), var=join_var([var.loc[genes] for var in variables.values()])
    )
    return JoinedAnnotation(_with_proteins(adata, inputs), [var.index.get_indexer(genes) for var in variables.values()])


def join_onto(
    inputs: Mapping[str, RawInput],
    batch_keys: Mapping[str, str | None] | None,
    *,
    var: pd.DataFrame,
    columns: Sequence[np.ndarray],
    data_sets: Sequence[str],
) -> JoinedAnnotation:
    """Join the annotation of inputs whose genes were found among those of other data; the inputs are not changed.

    Args:
        inputs: Name to input.
        batch_keys: As of :func:`join_annotation`.
        var: Annotation of the other data's genes, (n_genes, ...).
        columns: For every input the column of each gene, -1 where it has none, (n_genes,) each.
        data_sets: What every input is called in ``obs["dataset"]``; without a column its batch is called like the input.

    Raises:
        DataError: A batch column is missing or has missing values.
    """
    obs = _joined_obs(inputs, _batch_labels(inputs, batch_keys), data_sets)
    return JoinedAnnotation(_with_proteins(AnnData(obs=obs, var=var.copy()), inputs), list(columns))


def merge_data_sets(
    raw_inputs: Mapping[str, AnnData],
    batch_keys: Mapping[str, str | None] | None = None,
    join: Join = join_annotation,
) -> tuple[AnnData, dict[str, str]]:
    """Join inputs in memory; see :func:`join_annotation`.

    Args:
        raw_inputs: Name to input, X of shape (n_cells, n_genes).
        batch_keys: Name of the input to the column of obs that holds its batches.
        join: Joins the annotation.

    Returns:
        The merged data, and {str(batch code): batch name}.

    Raises:
        DataError: There is no input, a batch column is missing or has missing values, or no gene is common to all.
    """
    inputs = {
        name: RawInput(RowsInMemory(adata.X), adata.obs, adata.var, _proteins(adata))
        for name, adata in raw_inputs.items()
    }
    joined = join(inputs, batch_keys)
    merged = joined.adata
    merged.X = _stack([adata.X for adata in raw_inputs.values()], joined.columns)
    return merged, {str(code): name for code, name in enumerate(merged.obs[BATCH].cat.categories)}


def _proteins(adata: AnnData) -> pd.DataFrame | None:
    values = adata.obsm.get(PROTEIN_EXPRESSION)
    return None if values is None else protein_table(values, adata.obs_names)


def _batch_labels(inputs: Mapping[str, RawInput], batch_keys: Mapping[str, str | None] | None) -> list[pd.Categorical]:
    labels = [batch_labels(one.obs, name, (batch_keys or {}).get(name)) for name, one in inputs.items()]
    _report_shared_batches(list(inputs), labels)
    return labels


def _joined_obs(
    inputs: Mapping[str, RawInput], labels: Sequence[pd.Categorical], data_sets: Sequence[str]
) -> pd.DataFrame:
    tables = [one.obs for one in inputs.values()]
    obs = join_obs(tables)
    obs[DATASET] = pd.Categorical.from_codes(
        np.repeat(np.arange(len(tables)), [len(table) for table in tables]), categories=list(data_sets)
    )
    obs[BATCH] = join_labels(labels)
    return obs


def _with_proteins(adata: AnnData, inputs: Mapping[str, RawInput]) -> AnnData:
    proteins = join_proteins([one.proteins for one in inputs.values()], [len(one.obs) for one in inputs.values()])
    if proteins is not None:
        adata.obsm[PROTEIN_EXPRESSION] = proteins.set_axis(adata.obs_names)
    return adata


def with_unique_names(var: pd.DataFrame) -> pd.DataFrame:
    """Return gene annotation whose repeated names have a suffix; the first of them keeps its name."""
    return var.set_axis(unique_names(var.index)[0])


def _common_genes(variables: Mapping[str, pd.DataFrame]) -> pd.Index:
    """Return the genes of the first input that all inputs have, in its order."""
    first, *others = variables.values()
    genes = first.index
    for var in others:
        genes = genes[genes.isin(var.index)]
    if genes.empty:
        raise DataError(explain_no_common_genes(variables))
    smallest = min(variables, key=lambda name: len(variables[name]))
    if len(genes) < _FEW_COMMON_GENES * len(variables[smallest]):
        if names_differ_in_kind(variables):
            raise DataError(explain_no_common_genes(variables, len(genes)))
        _logger.warning(
            "Only %s common to all inputs, of %d in %s. Do all use the same kind of gene names?",
            counted(len(genes), "gene is", "genes are"),
            len(variables[smallest]),
            smallest,
        )
    return genes


def _stack(matrices: Sequence[sparse.spmatrix], columns: Sequence[np.ndarray]) -> sparse.csr_matrix:
    """Return the chosen columns of every matrix below each other, (n_cells, n_genes) float32 CSR.

    The result is filled piece by piece, so that no second copy of all the data is held.
    """
    sizes = [_stored_values(matrix, kept) for matrix, kept in zip(matrices, columns, strict=True)]
    n_cells, n_genes, total = sum(matrix.shape[0] for matrix in matrices), len(columns[0]), sum(sizes)
    index_type = np.int32 if max(total, n_genes) < np.iinfo(np.int32).max else np.int64
    data, indices = np.empty(total, dtype=np.float32), np.empty(total, dtype=index_type)
    indptr = np.zeros(n_cells + 1, dtype=index_type)
    row = start = 0
    for matrix, kept in zip(matrices, columns, strict=True):
        part = to_csr(matrix)
        if not np.array_equal(kept, np.arange(part.shape[1])):
            part = placed_columns(part, kept)
        data[start : start + part.nnz] = part.data
        indices[start : start + part.nnz] = part.indices
        indptr[row + 1 : row + 1 + part.shape[0]] = part.indptr[1:].astype(index_type) + start
        row, start = row + part.shape[0], start + part.nnz
    return sparse.csr_matrix((data, indices, indptr), shape=(n_cells, n_genes))


def _stored_values(matrix: sparse.spmatrix, kept: np.ndarray) -> int:
    csr = to_csr(matrix)
    is_kept = np.zeros(csr.shape[1], dtype=bool)
    is_kept[kept[kept >= 0]] = True
    return csr.nnz if is_kept.all() else int(np.count_nonzero(is_kept[csr.indices]))


def _report_shared_batches(names: Sequence[str], labels: Sequence[pd.Categorical]) -> None:
    owners: dict[str, list[str]] = {}
    for name, label in zip(names, labels, strict=True):
        for batch in label.categories:
            owners.setdefault(batch, []).append(name)
    for batch, of_inputs in owners.items():
        if len(of_inputs) > 1:
            _logger.warning(
                "Batch '%s' occurs in %s and is taken as one batch. Rename it where it is another one.",
                batch,
                ", ".join(of_inputs),
            )
