import anndata
import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError, ShapeError
from discern.io.data import DISCERNData
from discern.online_learning import OnlineWAERecipe, save_data


@pytest.fixture(scope="module")
def added(reference, input_section, input_paths):
    return OnlineWAERecipe(reference, input_section, input_files=[input_paths[2]])().sc_raw


@pytest.fixture(scope="module")
def saved(tmp_path_factory, reference, added):
    path = tmp_path_factory.mktemp("saved") / "all.h5ad"
    save_data(path, added, reference)
    return DISCERNData.read_h5ad(path, 64)


def test_cells_are_the_old_ones_then_the_new_ones(saved, reference, added):
    n_old = reference.n_obs
    assert saved.shape == (n_old + added.n_obs, reference.n_vars)
    for layer in (None, "counts"):
        together = np.concatenate([cells.to_df(layer).to_numpy() for cells in (reference, added)])
        np.testing.assert_array_equal(saved.to_df(layer).to_numpy(), together)
    assert list(saved.obs_names[:n_old]) == list(reference.obs_names)
    for column in ("n_counts", "n_genes", "for_mmd", "split", "dataset", "batch"):
        expected = [*reference.obs[column].tolist(), *added.obs[column].tolist()]
        assert saved.obs[column].tolist() == expected


def test_batches_come_in_the_order_of_the_model(saved):
    assert saved.batches == ["input_b0", "input_b1", "input_b2"]


def test_the_description_counts_all_cells(saved, reference):
    obs = pd.DataFrame({"batch": saved.obs["batch"].astype(str), "split": saved.obs["split"].astype(str)})
    config = saved.config
    assert config["total_count"] == len(obs)
    assert config["total_train_count"] == (obs["split"] == "train").sum()
    assert config["total_valid_count"] == (obs["split"] == "valid").sum()
    assert config["batch_key"] == {"0": "input_b0", "1": "input_b1", "2": "input_b2"}
    for name in ("input_b0", "input_b1", "input_b2"):
        mine = obs[obs["batch"] == name]
        assert config["batch_ratios"][name] == pytest.approx(len(mine) / len(obs))
        assert config["train_cells_no"][name] == (mine["split"] == "train").sum()
        assert config["valid_cells_no"][name] == (mine["split"] == "valid").sum()
    for unchanged in ("scale", "mmd_kernel", "common_genes_count"):
        assert config[unchanged] == reference.config[unchanged]


def test_genes_are_described_by_the_reference_and_counted_in_all_cells(saved, reference):
    assert saved.var.drop(columns="n_cells").equals(reference.var.drop(columns="n_cells"))
    np.testing.assert_array_equal(saved.var["n_cells"], (saved.layers["counts"].toarray() > 0).sum(axis=0))
    np.testing.assert_array_equal(saved.varm["PCs"], reference.varm["PCs"])
    np.testing.assert_array_equal(saved.zeros, reference.zeros)


def test_taken_cell_names_get_a_suffix(tmp_path, reference, added):
    again = added.copy()
    again.obs_names = [reference.obs_names[0], *added.obs_names[1:]]
    joined = save_data(tmp_path / "all.h5ad", again, reference)
    assert joined.obs_names.is_unique
    assert joined.obs_names[reference.n_obs] == f"{reference.obs_names[0]}-1"


def test_annotation_of_one_side_is_kept(tmp_path, reference, added):
    more = added.copy()
    more.obs["donor"] = pd.Categorical(["d"] * added.n_obs)
    save_data(tmp_path / "all.h5ad", more, reference)
    donor = anndata.read_h5ad(tmp_path / "all.h5ad").obs["donor"]
    assert donor.isna().sum() == reference.n_obs
    assert (donor.dropna() == "d").all()


def test_protein_counts_are_missing_where_they_were_not_measured(tmp_path, reference, added):
    more = added.copy()
    more.obsm["protein_expression"] = pd.DataFrame({"CD3": np.arange(added.n_obs, dtype=np.float32)}, more.obs_names)
    proteins = save_data(tmp_path / "all.h5ad", more, reference).obsm["protein_expression"]["CD3"]
    assert proteins[: reference.n_obs].isna().all()
    np.testing.assert_array_equal(proteins[reference.n_obs :], np.arange(added.n_obs))


def test_neither_input_changes(saved, reference, added):
    assert reference.batches == ["input_b0", "input_b1"]
    assert reference.config["total_count"] == reference.n_obs
    assert added.config["total_count"] == added.n_obs


def test_other_genes_are_refused(tmp_path, reference, added):
    with pytest.raises(ShapeError, match="OnlineWAERecipe"):
        save_data(tmp_path / "all.h5ad", added[:, ::-1].copy(), reference)
    assert not list(tmp_path.iterdir())


def test_missing_counts_are_refused(tmp_path, reference, added):
    without = added.copy()
    del without.layers["counts"]
    with pytest.raises(DataError, match="The new data"):
        save_data(tmp_path / "all.h5ad", without, reference)


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, reference, added, monkeypatch):
    path = tmp_path / "all.h5ad"
    path.write_bytes(b"as it was")

    def half_written(self, filename, **kwargs):
        filename.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(anndata.AnnData, "write_h5ad", half_written)
    with pytest.raises(OSError, match="no space left"):
        save_data(path, added, reference)
    assert path.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_old_cells_that_do_not_tell_their_data_set_stay_so(tmp_path, reference, added):
    published = reference.copy()
    del published.obs["dataset"]
    save_data(tmp_path / "all.h5ad", added, published)
    data_set = anndata.read_h5ad(tmp_path / "all.h5ad").obs["dataset"]
    assert data_set[: reference.n_obs].isna().all()
    assert set(data_set[reference.n_obs :]) == {"input_b2"}


def test_a_data_set_that_two_tables_name_measured_what_both_say(tmp_path, reference, added):
    tables = [np.arange(reference.n_vars) % number > 0 for number in (3, 4)]
    parts = [reference.copy(), added.copy()]
    for part, measured in zip(parts, tables, strict=True):
        part.varm["measured"] = pd.DataFrame({"twice": measured}, index=part.var_names)
    joined = save_data(tmp_path / "all.h5ad", parts[1], parts[0])
    np.testing.assert_array_equal(joined.varm["measured"]["twice"], tables[0] & tables[1])
    assert joined.varm["measured"]["twice"].dtype == bool
