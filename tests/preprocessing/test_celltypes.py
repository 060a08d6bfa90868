import numpy as np
import pandas as pd

from discern.preprocessing.celltypes import batch_and_celltype, find_celltypes


def test_the_first_known_column_is_taken():
    obs = pd.DataFrame({"cluster": [1, 2], "cluster_names": ["x", "y"], "other": ["o", "o"]})
    column, labels = find_celltypes(obs)
    assert column == "cluster_names"
    assert list(labels) == ["x", "y"]
    assert find_celltypes(obs[["other"]]) is None


def test_unused_types_and_missing_values():
    labels = pd.Categorical(["T", None, "B"], categories=["B", "NK", "T"])
    column, found = find_celltypes(pd.DataFrame({"celltype": labels}))
    assert list(found.categories) == ["B", "T"]
    assert found.isna().tolist() == [False, True, False]


def test_groups_of_batch_and_celltype():
    obs = pd.DataFrame({"batch": pd.Categorical(["a", "a", "b", "b", "b"]), "celltype": ["T", "B", "T", None, None]})
    codes = batch_and_celltype(obs)
    assert len(set(codes)) == 4
    assert codes[3] == codes[4]
    assert (codes >= 0).all()
    assert np.array_equal(batch_and_celltype(obs[["batch"]]), [0, 0, 1, 1, 1])
