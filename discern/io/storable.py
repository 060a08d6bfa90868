"""What of the annotation an .h5ad file can hold, and as what."""

import logging
from collections.abc import Iterable

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_numeric_dtype

from discern.errors import DataError
from discern.io.text_labels import as_text

_RESERVED = "_index"
_SHOWN = 60
_logger = logging.getLogger(__name__)


def require_storable_columns(table: pd.DataFrame, what: str) -> None:
    """Refuse names of columns that cannot be the names of data sets in a file.

    Args:
        table: Annotation.
        what: What messages call it.

    Raises:
        DataError: A name is no text, reserved, a path that leads elsewhere, or stands twice.
    """
    for column in table.columns:
        if not isinstance(column, str) or column == _RESERVED or {"", ".", ".."} & set(column.split("/")):
            raise DataError(
                f"{what} has a column called {column!r}, which an .h5ad file cannot hold. Rename or remove it."
            )
    require_storable_texts(table.columns, f"the name of a column of {what}")
    twins = table.columns[table.columns.duplicated()]
    if len(twins):
        raise DataError(f"{what} has more than one column called '{twins[0]}'. Rename or remove all but one.")


def require_storable_texts(texts: Iterable[str], what: str) -> None:
    """Refuse texts with a NUL character or half a character, which HDF5 does not store.

    Raises:
        DataError: There is one.
    """
    for text in texts:
        if "\0" in text or not _is_unicode(text):
            raise DataError(f"{text[:_SHOWN]!r} is {what}, but holds a character that files cannot hold. Rename it.")


def storable(values: pd.Series | pd.Categorical | np.ndarray, what: str) -> pd.Series | pd.Categorical | np.ndarray:
    """Return a column as it is if a file can hold it, else its values as categories of text, (n,).

    Args:
        values: The column.
        what: What messages call it.

    Raises:
        DataError: A text of it cannot be stored.
    """
    column = pd.Series(values).reset_index(drop=True)
    distinct = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    if is_numeric_dtype(distinct) or is_bool_dtype(distinct):
        return values if not isinstance(values, pd.Series) else values.array
    if infer_dtype(distinct, skipna=True) in {"string", "empty"} and distinct.dtype.kind == "O":
        require_storable_texts(distinct.dropna().unique(), f"a value of {what}")
        return values if not isinstance(values, pd.Series) else values.array
    _logger.info("%s holds values that files cannot hold (%s); they become text", what, infer_dtype(distinct))
    texts = pd.Series(np.full(len(column), np.nan, dtype=object))
    known = column.notna().to_numpy()
    texts[known] = [as_text(value) for value in column[known]]
    require_storable_texts(texts[known].unique(), f"a value of {what}")
    return pd.Categorical(texts)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
