import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError
from discern.io.storable import require_storable_columns, storable


@pytest.mark.parametrize("name", ["", "_index", "/X", "a//b", "../X", "a/.", "x\0", "\ud800", 3])
def test_names_of_columns_that_no_file_holds(name):
    with pytest.raises(DataError, match="(Rename or remove|Rename) it"):
        require_storable_columns(pd.DataFrame({name: [1]}), "obs")


def test_names_that_a_file_holds():
    require_storable_columns(pd.DataFrame({"a b": [1], "a/b": [2], "...": [3], "ß": [4], "index": [5]}), "obs")


def test_a_name_that_stands_twice():
    with pytest.raises(DataError, match="more than one column called 'a'"):
        require_storable_columns(pd.DataFrame([[1, 2]], columns=["a", "a"]), "var")


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (np.array([1, "b", None], dtype=object), ["1", "b", None]),
        (pd.Series([(1, 2), (3, 4)]), ["(1, 2)", "(3, 4)"]),
        (pd.to_datetime(["2020-01-02", None]), ["2020-01-02 00:00:00", None]),
        (pd.to_timedelta([1, 2], unit="D"), ["1 days 00:00:00", "2 days 00:00:00"]),
        (pd.Categorical(np.array([1, True, "x"], dtype=object), categories=[1, "x"]), ["1", "1", "x"]),
        (np.array([b"a", b"b"], dtype=object), ["a", "b"]),
        (np.array([True, None], dtype=object), ["True", None]),
    ],
)
def test_what_no_file_holds_becomes_text(values, texts):

    result = storable(pd.Series(values), "obs['x']")
    assert isinstance(result, pd.Categorical)

    assert [None if pd.isna(one) else one for one in result] == texts


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        [True, False],
        [0.5, np.nan],
        ["a", "b"],
        ["a", None],
        pd.Categorical(["a", None]),
        pd.Categorical([2, 1]),
    ],
)
def test_what_a_file_holds_stays(values):
    series = pd.Series(values)
    pd.testing.assert_series_equal(pd.Series(storable(series, "obs['x']")), series)


def test_a_text_with_a_nul():
    with pytest.raises(DataError, match=r"a value of obs\['x'\], but holds a character"):
        storable(pd.Series(["a", "b\0"]), "obs['x']")
