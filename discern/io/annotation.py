"""Join the annotation of several inputs: batch labels, obs, var and proteins."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype, is_string_dtype, union_categoricals

from discern.errors import DataError
from discern.io.naming import unique_names
from discern.io.storable import require_storable_columns, require_storable_texts, storable
from discern.io.text_labels import as_text
from discern.keys import BATCH


def batch_labels(obs: pd.DataFrame, name: str, column: str | None) -> pd.Categorical:
    """Return the batch of every cell as text, (n_cells,).

    The categories are the batches that occur: in the order of a categorical column, else sorted by value.

    Args:
        obs: Cell annotation of one input.
        name: Name of the input; it is the batch of all cells when there is no column.
        column: The column with the batches; None takes ``batch`` if present.

    Raises:
        DataError: The column is missing or has cells without a value.
    """
    if column is None and BATCH not in obs:
        return pd.Categorical([name] * len(obs))
    column = BATCH if column is None else column
    if column not in obs:
        found = ", ".join(map(str, obs.columns)) or "none"
        raise DataError(
            f"Column '{column}', named in raw_input, is missing from obs of {name}. Found: {found}. "
            "Use one of these, or leave the name out to use the file name as batch."
        )
    values = obs[column]
    missing = int((values.isna() | (values.astype(str).str.strip() == "")).sum())
    if missing:
        raise DataError(
            f"Column '{column}' of {name} has no value for {missing:,} of {len(values):,} cells. "
            "Every cell needs a batch: fill the gaps or remove these cells."
        )
    used = values.cat.remove_unused_categories().cat.categories if _is_categorical(values) else _sorted(values)
    texts = {value: as_text(value) for value in used}
    return pd.Categorical(values.astype(object).map(texts), categories=list(dict.fromkeys(texts.values())))


def join_obs(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return all cells with the columns of any table, indexed by unique cell names.

    Categories are united. Columns of conflicting types become text, and so do those that an .h5ad file cannot hold;
    values an input lacks are NaN.

    Raises:
        DataError: A column or cell has a name that no file can hold, or two columns have the same.
    """
    for table in tables:
        require_storable_columns(table, "obs")
    columns = dict.fromkeys(column for table in tables for column in table.columns)
    joined = {
        column: storable(_join_column([(table.get(column), len(table)) for table in tables]), f"obs['{column}']")
        for column in columns
    }
    cells = tables[0].index.append([table.index for table in tables[1:]])
    index, _ = unique_names(pd.Index(cells.astype(str), name=None))
    require_storable_texts(index, "a cell name")
    return pd.DataFrame(joined, index=pd.RangeIndex(len(index))).set_axis(index)


def join_labels(labels: Sequence[pd.Categorical]) -> pd.Categorical:
    """Return the labels of all inputs one after the other; the categories are in the order of first mention."""
    categories = pd.Index(dict.fromkeys(name for label in labels for name in label.categories), dtype=object)
    codes = [categories.get_indexer(label.categories)[label.codes] for label in labels]  # every cell has a label
    return pd.Categorical.from_codes(np.concatenate(codes), categories=categories)


def join_var(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the gene annotation of the first table, only the columns that are the same in all.

    Args:
        tables: Annotation of the same genes in the same order.
    """
    first, *others = tables
    require_storable_columns(first, "var")
    require_storable_texts(first.index, "a gene name")
    same = [column for column in first.columns if all(_equal(first[column], table.get(column)) for table in others)]
    kept = {column: storable(first[column], f"var['{column}']") for column in same}
    return pd.DataFrame(kept, index=first.index)


def join_proteins(tables: Sequence[pd.DataFrame | None], n_cells: Sequence[int]) -> pd.DataFrame | None:
    """Return the counts of the proteins of any table, NaN where not measured; None when no table is given.

    Args:
        tables: Protein counts, (n_cells, n_proteins), of every input or None.
        n_cells: Number of cells of every input.

    Raises:
        DataError: A table holds something else than numbers.
    """
    names = [unique_names(pd.Index([] if table is None else table.columns.astype(str)))[0] for table in tables]
    proteins = pd.Index(dict.fromkeys(protein for columns in names for protein in columns))
    if proteins.empty:
        return None
    values = np.full((sum(n_cells), len(proteins)), np.nan, dtype=np.float32)
    start = 0
    for table, columns, length in zip(tables, names, n_cells, strict=True):
        if table is not None:
            values[start : start + length, proteins.get_indexer(columns)] = _protein_counts(table)
        start += length
    return pd.DataFrame(values, columns=proteins)


def _protein_counts(table: pd.DataFrame) -> np.ndarray:
    try:
        return table.to_numpy(dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise DataError(f"The proteins in obsm are not all numbers: {error}. Give their counts.") from error


def _join_column(pieces: Sequence[tuple[pd.Series | None, int]]) -> pd.Series | pd.Categorical | np.ndarray:
    """Return one column from its pieces; None stands for an input that lacks it."""
    present = [piece for piece, _ in pieces if piece is not None]
    complete = len(present) == len(pieces)
    if all(_is_categorical(piece) for piece in present) and len({piece.cat.categories.dtype for piece in present}) == 1:
        return _join_categoricals(pieces)
    if complete and len({piece.dtype for piece in present}) == 1:
        return pd.concat(present, ignore_index=True)
    if all(is_numeric_dtype(piece) and not is_bool_dtype(piece) for piece in present):
        return np.concatenate([_numbers(piece, length) for piece, length in pieces])
    return pd.Categorical(np.concatenate([_texts(piece, length) for piece, length in pieces]))


def _join_categoricals(pieces: Sequence[tuple[pd.Series | None, int]]) -> pd.Categorical:
    present = [piece for piece, _ in pieces if piece is not None]
    dtype = present[0].dtype
    if any(piece.dtype != dtype for piece in present):
        dtype = pd.CategoricalDtype(union_categoricals(present, ignore_order=True).categories)
    codes = [
        np.full(length, -1) if piece is None else piece.cat.set_categories(dtype.categories).cat.codes.to_numpy()
        for piece, length in pieces
    ]
    return pd.Categorical.from_codes(np.concatenate(codes), dtype=dtype)


def _numbers(piece: pd.Series | None, length: int) -> np.ndarray:
    if piece is None:
        return np.full(length, np.nan)
    return piece.to_numpy(dtype=np.float64, na_value=np.nan) if piece.isna().any() else piece.to_numpy()


def _texts(piece: pd.Series | None, length: int) -> np.ndarray:
    texts = np.full(length, np.nan, dtype=object)
    if piece is not None:
        known = piece.notna().to_numpy()
        texts[known] = [as_text(value) for value in piece[known]]
    return texts


def _sorted(values: pd.Series) -> list[object]:
    unique = list(values.unique())
    return sorted(unique) if is_numeric_dtype(values) or is_string_dtype(values) else sorted(unique, key=as_text)


def _equal(first: pd.Series, other: pd.Series | None) -> bool:
    return other is not None and first.astype(object).equals(other.astype(object))


def _is_categorical(values: pd.Series) -> bool:
    return isinstance(values.dtype, pd.CategoricalDtype)
