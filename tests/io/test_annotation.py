import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError
from discern.io.annotation import batch_labels, join_obs, join_proteins, join_var


def labels(values):
    return batch_labels(pd.DataFrame({"b": values}), "x", "b")


@pytest.mark.parametrize(
    ("values", "texts", "order"),
    [
        ([10, 9, 10], ["10", "9", "10"], ["9", "10"]),
        ([1.0, 0.0], ["1", "0"], ["0", "1"]),
        ([1.5, 1.0], ["1.5", "1"], ["1", "1.5"]),
        ([True, False], ["True", "False"], ["False", "True"]),
        (["b", "a"], ["b", "a"], ["a", "b"]),
        ([1, "a", 1.0], ["1", "a", "1"], ["1", "a"]),
        (pd.Categorical([3, 1], categories=[3, 2, 1]), ["3", "1"], ["3", "1"]),
        (pd.array([2, 1], dtype="Int64"), ["2", "1"], ["1", "2"]),
        (pd.array(["q", "p"], dtype="string"), ["q", "p"], ["p", "q"]),
    ],
)
def test_batches_become_text(values, texts, order):
    result = labels(values)
    assert list(result) == texts
    assert result.categories.tolist() == order


def test_without_a_column_obs_batch_or_the_name_is_used():
    assert list(batch_labels(pd.DataFrame({"batch": [1, 2]}), "x", None)) == ["1", "2"]
    assert list(batch_labels(pd.DataFrame({"other": [1, 2]}), "x", None)) == ["x", "x"]


def test_a_missing_column_names_those_found():
    message = (
        r"Column 'sample_id', named in raw_input, is missing from obs of pbmc8k\. Found: sample, donor\. "
        "Use one of these, or leave the name out to use the file name as batch"
    )
    with pytest.raises(DataError, match=message):
        batch_labels(pd.DataFrame({"sample": [1], "donor": [2]}), "pbmc8k", "sample_id")


@pytest.mark.parametrize(
    "values",
    [[1.0, np.nan, np.nan], ["a", None, " "], pd.Categorical(["a", None, None]), pd.array([1, None, None], "Int64")],
)
def test_cells_without_a_batch_are_an_error(values):
    with pytest.raises(DataError, match="Column 'b' of x has no value for 2 of 3 cells"):
        labels(values)


def test_obs_columns_are_united():
    first = pd.DataFrame(
        {
            "kind": pd.Categorical(["B", "A"], categories=["B", "A"]),
            "number": np.array([1, 2], "int16"),
            "mixed": [1, 2],
            "text": ["u", "v"],
            "flag": [True, False],
            "same": [True, True],
            "whole": [1, 2],
        },
        index=["c0", "c1"],
    )
    second = pd.DataFrame(
        {
            "kind": pd.Categorical(["C"]),
            "number": [0.5],
            "mixed": ["p"],
            "text": ["w"],
            "same": [False],
            "whole": [3],
            "late": ["z"],
        },
        index=["c0"],
    )
    obs = join_obs([first, second])
    assert obs.index.tolist() == ["c0", "c1", "c0-1"]
    assert obs.columns.tolist() == ["kind", "number", "mixed", "text", "flag", "same", "whole", "late"]
    assert obs["kind"].cat.categories.tolist() == ["B", "A", "C"]
    assert obs["kind"].tolist() == ["B", "A", "C"]
    assert obs["number"].tolist() == [1, 2, 0.5]
    assert obs["mixed"].tolist() == ["1", "2", "p"]
    assert obs["text"].tolist() == ["u", "v", "w"]
    assert obs["flag"].tolist()[:2] == ["True", "False"]
    assert obs["late"].tolist()[2] == "z"
    assert obs[["flag", "late"]].isna().to_numpy().tolist() == [[False, True], [False, True], [True, False]]
    assert obs["same"].dtype == bool
    assert obs["whole"].dtype == np.int64


def test_categories_of_other_types_become_text_and_equal_ordered_ones_stay():
    ordered = pd.CategoricalDtype(["lo", "hi"], ordered=True)
    first = pd.DataFrame({"a": pd.Categorical([1, 2]), "b": pd.Categorical(["hi", "lo"], dtype=ordered)})
    second = pd.DataFrame({"a": pd.Categorical(["1"]), "b": pd.Categorical(["lo"], dtype=ordered)})
    obs = join_obs([first, second])
    assert obs["a"].tolist() == ["1", "2", "1"]
    assert obs["b"].dtype == ordered
    assert join_obs([first, pd.DataFrame(index=["x"])])["a"].tolist()[:2] == [1, 2]


def test_nullable_numbers_are_joined():
    first = pd.DataFrame({"n": pd.array([1, None], dtype="Int64")})
    second = pd.DataFrame({"n": [2.5]})
    np.testing.assert_array_equal(join_obs([first, second])["n"], [1, np.nan, 2.5])


def test_var_keeps_what_is_the_same_in_all():
    first = pd.DataFrame(
        {"id": ["E1", "E2"], "n": [1, 2], "kind": pd.Categorical(["a", "b"]), "own": [0, 0]}, ["A", "B"]
    )
    second = pd.DataFrame({"id": ["E1", "E2"], "n": [1, 3], "kind": ["a", "b"]}, ["A", "B"])
    assert join_var([first, second]).columns.tolist() == ["id", "kind"]
    assert join_var([first]).equals(first)


def test_repeated_protein_names_stay_apart():
    table = pd.DataFrame([[1, 2]], columns=["CD3", "CD3"])
    joined = join_proteins([table, None], [1, 1])
    assert joined is not None
    assert joined.columns.tolist() == ["CD3", "CD3-1"]
    np.testing.assert_array_equal(joined, [[1, 2], [np.nan, np.nan]])
    assert join_proteins([None], [3]) is None
