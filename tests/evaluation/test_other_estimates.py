import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
from discern.evaluation.other_estimates import OtherEstimate


@pytest.fixture
def write(tmp_path):
    def write(values, cells=None, genes=None):
        obs = pd.DataFrame(index=cells or [f"cell{number}" for number in range(values.shape[0])])
        var = pd.DataFrame(index=genes or [f"gene{number}" for number in range(values.shape[1])])
        AnnData(values, obs=obs, var=var).write_h5ad(tmp_path / "other.h5ad")
        return OtherEstimate("other", tmp_path / "other.h5ad")

    return write


@pytest.fixture
def values():
    return np.random.default_rng(0).gamma(1.0, 1.0, (30, 6)).astype(np.float32)


def test_name_and_file_are_read(tmp_path):
    assert OtherEstimate.parse("my tool=a=b.h5ad").name == "my tool"
    assert str(OtherEstimate.parse("x=a=b.h5ad").path) == "a=b.h5ad"
    for wrong in ("a.h5ad", "=a.h5ad", "x="):
        with pytest.raises(DataError, match="is NAME=H5AD, received"):
            OtherEstimate.parse(wrong)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_cells_and_genes_are_matched_by_name(write, values, form):
    other = write(form(values))
    assert list(other.genes()) == [f"gene{number}" for number in range(6)]
    found = other.read(pd.Index(["cell9", "cell29", "cell0"]), ["gene5", "gene2"])
    np.testing.assert_array_equal(found, values[[9, 29, 0]][:, [5, 2]])
    assert found.dtype == np.float32


def test_missing_cells_are_refused(write, values):
    with pytest.raises(DataError, match=r"lacks 1 of the 2 cells that are compared \(e\.g\. other\)"):
        write(values).read(pd.Index(["cell1", "other"]), ["gene0"])


def test_what_is_no_log_expression_is_refused(write, values):
    with pytest.raises(DataError, match="holds values up to 300; log expression does not"):
        write(np.where(values == values[3, 1], 300, values)).read(pd.Index(["cell3"]), ["gene1"])
    with pytest.raises(DataError, match="not finite"):
        write(np.where(values == values[3, 1], np.nan, values)).read(pd.Index(["cell3"]), ["gene1"])


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_files_that_cannot_be_read_are_named(tmp_path, write, values):
    with pytest.raises(DataError, match="absent.h5ad cannot be read as h5ad"):
        OtherEstimate("x", tmp_path / "absent.h5ad").genes()
    twice = write(values, cells=["a"] * 30)
    with pytest.raises(DataError, match="names cells twice"):
        twice.read(pd.Index(["a"]), ["gene0"])
