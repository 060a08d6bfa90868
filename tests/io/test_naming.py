from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata.utils import make_index_unique

from discern.errors import DataError
from discern.io.naming import file_suffix, free_names, input_names, original_names, unique_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["d/b0.h5ad", "d/b1.v2.h5", "d/c.csv.gz"], ["b0", "b1.v2", "c"]),
        (["run1/outs/filtered_feature_bc_matrix"], ["run1"]),
        (["run1/outs/filtered_gene_bc_matrices/hg19", "run2/outs/filtered_gene_bc_matrices/hg19"], ["run1", "run2"]),
        (["per_sample_outs/S7/count/sample_filtered_feature_bc_matrix"], ["S7"]),
        (["a/x.h5ad", "b/x.h5ad", "y.loom"], ["a_x", "b_x", "y"]),
        (["r1/outs/m.h5", "r2/outs/m.h5"], ["r1_m", "r2_m"]),
        (["p/a/x.h5ad", "p/b/x.h5ad", "q/a/x.h5ad", "q/b/x.h5ad"], ["p_a_x", "p_b_x", "q_a_x", "q_b_x"]),
        (["x.csv", "x.h5ad"], ["x", "x-1"]),
    ],
)
def test_names(paths, names):
    assert input_names([Path("/data") / path for path in paths]) == names


def test_telling_apart_is_logged_and_never_takes_a_used_name(caplog):
    names = input_names([Path("/d/a/x.h5ad"), Path("/d/b/x.h5ad"), Path("/d/a_x.h5ad")])
    assert names == ["a_x", "b_x", "a_x-1"]
    assert "2 inputs are called 'x'" in caplog.text


def test_the_same_file_twice_is_an_error():
    with pytest.raises(DataError, match=r"x\.h5ad is given 2 times"):
        input_names([Path("a/x.h5ad"), Path("a/../a/x.h5ad")])


def test_suffixes():
    assert file_suffix(Path("A.CSV.GZ")) == ".csv.gz"
    assert file_suffix(Path("a.b.rds")) == ".rds"
    assert file_suffix(Path("a")) == ""


@pytest.mark.filterwarnings("ignore:Suffix used:UserWarning")
def test_unique_names_equal_anndata():
    letters = np.random.default_rng(0).choice(["A", "B", "A-1", "C-2", "C", "D"], 60)
    names, changed = unique_names(pd.Index(letters))
    assert names.tolist() == make_index_unique(pd.Index(letters)).tolist()
    assert names.is_unique
    assert changed == 54
    assert unique_names(pd.Index(["a", "b"]))[1] == 0


def test_names_that_are_taken_get_a_suffix_that_is_free():
    assert free_names(["b", "a", "a-1", "a"], ["a", "c", "a"]) == ["b", "a-2", "a-1", "a-3"]
    assert free_names(["a", "b"], []) == ["a", "b"]


def test_original_names_are_those_before_the_suffix():
    names = pd.Index(["AAAC-1", "AAAG-1", "AAAC-1", "x", "x", "x", "cell-3"])
    unique, _ = unique_names(names)
    assert not unique.equals(names)
    assert original_names(unique).tolist() == names.tolist()
