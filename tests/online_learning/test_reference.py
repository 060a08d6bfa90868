import anndata
import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.writing import write_h5ad
from discern.online_learning.reference import data_sets_of, read_reference


@pytest.fixture(scope="module")
def path(trained_folder):
    return ExperimentFolder(trained_folder).processed_file


def test_everything_but_matrices_is_read(path, reference):
    read = read_reference(path)
    assert read.X is None
    assert not read.layers
    pd.testing.assert_frame_equal(read.obs, reference.obs)
    pd.testing.assert_frame_equal(read.var, reference.var)
    assert read.config == reference.config
    assert read.uns["fixed_scaling"] == reference.uns["fixed_scaling"]
    np.testing.assert_array_equal(read.varm["PCs"], reference.varm["PCs"])


def test_tables_of_genes_and_proteins_come_along(tmp_path, reference):
    more = reference.copy()
    more.varm["measured"] = pd.DataFrame({"input_b1": np.arange(more.n_vars) % 3 > 0}, index=more.var_names)
    more.obsm["protein_expression"] = pd.DataFrame({"CD3": np.arange(more.n_obs, dtype=np.float32)}, more.obs_names)
    write_h5ad(more, tmp_path / "more.h5ad")
    read = read_reference(tmp_path / "more.h5ad")
    pd.testing.assert_frame_equal(read.varm["measured"], more.varm["measured"])
    pd.testing.assert_frame_equal(read.obsm["protein_expression"], more.obsm["protein_expression"])


def test_a_reference_without_its_cells_keeps_its_batches(tmp_path, reference):
    empty = anndata.AnnData(obs=reference.obs.iloc[:0], var=reference.var, uns=dict(reference.uns), varm=reference.varm)
    write_h5ad(empty, tmp_path / "none.h5ad")
    read = read_reference(tmp_path / "none.h5ad")
    assert read.n_obs == 0
    assert read.batches == reference.batches


def test_names_of_data_sets_are_those_of_cells_and_of_the_table(reference):
    more = reference.copy()
    more.varm["measured"] = pd.DataFrame({"gone": np.zeros(more.n_vars, dtype=bool)}, index=more.var_names)
    assert data_sets_of(more) == ["input_b0", "input_b1", "gone"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [("absent", "does not exist"), ("damaged", "is damaged: its checksum"), ("text", "cannot be read as h5ad")],
)
def test_files_that_are_no_reference_are_refused(tmp_path, path, fault, message):
    other = tmp_path / "other.h5ad"
    if fault == "text":
        other.write_text("no HDF5")
    elif fault == "damaged":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        other.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_reference(other)


def test_a_wrong_table_of_measured_genes_is_refused(tmp_path, reference):
    wrong = reference.copy()
    wrong.varm["measured"] = np.ones((wrong.n_vars, 1), dtype=bool)
    write_h5ad(wrong, tmp_path / "wrong.h5ad")
    with pytest.raises(DataError, match="is no table of genes by data sets"):
        read_reference(tmp_path / "wrong.h5ad")


def test_raw_data_are_no_reference(input_paths):
    with pytest.raises(DataError, match="was not written by preprocessing"):
        read_reference(input_paths[0])
