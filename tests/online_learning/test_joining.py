"""Old and new cells joined on disk are those joined in memory."""

import anndata
import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError, ParametersError, ShapeError
from discern.io import row_readers
from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.io.processed_config import plain
from discern.io.reading import read_raw_input
from discern.io.record_schema import RecordSchema
from discern.io.tfrecord_writer import write_records
from discern.io.writing import write_h5ad
from discern.online_learning import OnlineWAERecipe, save_data
from discern.online_learning.joining import join_on_disk, replayed_cells
from discern.online_learning.reference import read_reference
from discern.preprocessing.cells import OnDisk
from discern.preprocessing.recipe import WAERecipe
from discern.workers import ThisProcess, worker_processes


@pytest.fixture(autouse=True)
def few_cells(monkeypatch):
    """Several pieces, whose sizes divide nothing."""
    monkeypatch.setattr(row_readers, "MAX_CELLS", 61)


@pytest.fixture
def new_place(tmp_path):
    """A function that makes a new place on disk."""

    def make(workers=None):
        folder = tmp_path / f"counts{len(list(tmp_path.glob('counts*')))}"
        folder.mkdir()
        return OnDisk(folder, workers or ThisProcess())

    return make


@pytest.fixture
def old_file(tmp_path, reference):
    """The reference as a file; one of its data sets lacks genes, and it has proteins."""
    old = reference.copy()
    old.varm["measured"] = pd.DataFrame({"input_b1": np.arange(old.n_vars) % 7 > 0}, index=old.var_names)
    old.obsm["protein_expression"] = pd.DataFrame({"CD3": np.arange(old.n_obs, dtype=np.float32)}, old.obs_names)
    write_h5ad(old, tmp_path / "old.h5ad")
    return tmp_path / "old.h5ad"


@pytest.fixture
def new_file(tmp_path, query):
    """New cells of a new and a known batch, without some genes."""
    query.obs["batch"] = np.array(["fresh", "input_b0"])[np.arange(query.n_obs) % 2]
    query[:, np.arange(query.n_vars) % 10 > 0].copy().write_h5ad(tmp_path / "new.h5ad")
    return tmp_path / "new.h5ad"


def joined_on_disk(path, section, files, place):
    recipe = OnlineWAERecipe(read_reference(path), section, input_files=files, on_disk=place)()
    return join_on_disk(path, recipe, place)


def joined_in_memory(path, section, files, target):
    old = DISCERNData.read_h5ad(path, 64)
    return save_data(target, OnlineWAERecipe(old, section, input_files=files)().sc_raw, old)


def records(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def assert_same(one, other):
    for found, expected in ((one.X, other.X), (one.layers["counts"], other.layers["counts"])):
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    pd.testing.assert_frame_equal(one.obs, other.obs)
    pd.testing.assert_frame_equal(one.var, other.var)
    assert set(one.varm) == set(other.varm)
    for key, table in one.varm.items():
        np.testing.assert_array_equal(np.asarray(table), np.asarray(other.varm[key]))
    assert set(one.obsm) == set(other.obsm)
    for key, table in one.obsm.items():
        pd.testing.assert_frame_equal(table, other.obsm[key])
    assert plain(one.uns) == plain(other.uns)


def test_disk_gives_what_memory_gives(old_file, new_file, input_section, new_place, tmp_path):
    joined = joined_on_disk(old_file, input_section, [new_file], new_place())
    joined.write_h5ad(tmp_path / "disk.h5ad")
    joined.write_records(tmp_path / "disk")
    in_memory = joined_in_memory(old_file, input_section, [new_file], tmp_path / "memory.h5ad")
    write_records(in_memory, tmp_path / "memory")
    found = anndata.read_h5ad(tmp_path / "disk.h5ad")
    assert_same(found, anndata.read_h5ad(tmp_path / "memory.h5ad"))
    assert records(tmp_path / "disk") == records(tmp_path / "memory")
    old = anndata.read_h5ad(old_file)
    assert joined.n_old == old.n_obs == (~joined.is_new).sum()
    stored = found[: old.n_obs]
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(stored.X, part), getattr(old.X, part))
    assert list(found.obs["batch"].cat.categories) == ["input_b0", "input_b1", "fresh"]
    measured = found.varm["measured"]
    assert list(measured.columns) == ["input_b1", "new"]
    np.testing.assert_array_equal(measured["input_b1"], old.varm["measured"]["input_b1"])
    assert list(measured.index[~measured["new"]]) == [name for name in old.var_names if int(name[-4:]) % 10 == 0]


def test_the_number_of_workers_changes_nothing(old_file, new_file, input_section, new_place, tmp_path):
    for n_workers in (1, 2):
        with worker_processes(n_workers) as workers:
            joined = joined_on_disk(old_file, input_section, [new_file], new_place(workers))
            joined.write_h5ad(tmp_path / f"of{n_workers}.h5ad")
            joined.write_records(tmp_path / f"of{n_workers}")
    assert_same(*(anndata.read_h5ad(tmp_path / f"of{n_workers}.h5ad") for n_workers in (1, 2)))
    assert records(tmp_path / "of1") == records(tmp_path / "of2")


def test_a_recipe_in_memory_is_joined_too(old_file, new_file, input_section, new_place, tmp_path):
    recipe = OnlineWAERecipe(read_reference(old_file), input_section, input_files=[new_file])()
    join_on_disk(old_file, recipe, new_place()).write_h5ad(tmp_path / "one.h5ad")
    joined_on_disk(old_file, input_section, [new_file], new_place()).write_h5ad(tmp_path / "other.h5ad")
    assert_same(anndata.read_h5ad(tmp_path / "one.h5ad"), anndata.read_h5ad(tmp_path / "other.h5ad"))


def test_another_file_than_the_reference_is_refused(old_file, new_file, input_section, new_place, tmp_path):
    other = tmp_path / "other.h5ad"
    write_h5ad(DISCERNData.read_h5ad(old_file, 64)[:-1].copy(), other)
    recipe = OnlineWAERecipe(read_reference(old_file), input_section, input_files=[new_file])()
    with pytest.raises(DataError, match=r"other\.h5ad holds 441 cells x 1459 genes, the recipe's reference 442 x 1459"):
        join_on_disk(other, recipe, new_place())
    recipe.reference = recipe.reference[:, ::-1].copy()
    with pytest.raises(ShapeError, match="OnlineWAERecipe"):
        join_on_disk(old_file, recipe, new_place())


@pytest.fixture
def shared_file(tmp_path, reference):
    """The reference without its cells."""
    uns = {**reference.uns, "DISCERN": {**reference.config, "test_cells_no": {"input_b0": 3}, "total_test_count": 3}}
    table = pd.DataFrame({"input_b1": np.arange(reference.n_vars) % 7 > 0}, index=reference.var_names)
    nothing = anndata.AnnData(
        obs=reference.obs[["batch", "dataset"]].iloc[:0],
        var=reference.var,
        uns=uns,
        varm={"PCs": reference.varm["PCs"], "measured": table},
    )
    write_h5ad(nothing, tmp_path / "shared.h5ad")
    return tmp_path / "shared.h5ad"


def test_cells_are_added_to_a_reference_whose_own_are_elsewhere(
    shared_file, new_file, input_section, new_place, tmp_path, reference
):
    joined = joined_on_disk(shared_file, input_section, [new_file], new_place())
    joined.write_h5ad(tmp_path / "disk.h5ad")
    joined.write_records(tmp_path / "records")
    found = DISCERNData.read_h5ad(tmp_path / "disk.h5ad", 64)
    assert_same(found, joined_in_memory(shared_file, input_section, [new_file], tmp_path / "memory.h5ad"))
    assert joined.is_new.all()
    assert found.batches == ["input_b0", "input_b1", "fresh"]
    assert found.obs["for_mmd"].dtype == bool
    assert list(found.varm["measured"].columns) == ["input_b1", "new"]
    config = found.config
    assert config["cells_elsewhere"] == {"n_train_cells": reference.config["total_train_count"]}
    assert config["total_count"] == found.n_obs
    assert config["train_cells_no"]["input_b1"] == 0
    assert "total_test_count" not in config
    np.testing.assert_array_equal(found.var["n_cells"], (found.layers["counts"].toarray() > 0).sum(axis=0))
    assert RecordSchema.read(tmp_path / "records").n_cells("training") == config["total_train_count"]


def test_what_is_said_of_cells_elsewhere_stays(shared_file, new_file, input_section, new_place, tmp_path):
    first = joined_on_disk(shared_file, input_section, [new_file], new_place())
    first.annotation.config = {**first.annotation.config, "cells_elsewhere": {"n_train_cells": 12}}
    first.write_h5ad(tmp_path / "first.h5ad")
    more = anndata.read_h5ad(new_file)
    more.obs_names = [f"more{number}" for number in range(more.n_obs)]
    more.write_h5ad(tmp_path / "more.h5ad")
    second = joined_on_disk(tmp_path / "first.h5ad", input_section, [tmp_path / "more.h5ad"], new_place())
    assert second.annotation.config["cells_elsewhere"] == {"n_train_cells": 12}
    assert second.annotation.config["total_count"] == 2 * first.annotation.n_obs


@pytest.fixture
def first_file(tmp_path, input_section, input_paths):
    """One file of cells, processed."""
    recipe = WAERecipe(input_section, input_files=[input_paths[0]])()
    recipe.dump(tmp_path / "first")
    return ExperimentFolder(tmp_path / "first").processed_file


def test_three_rounds_give_the_cells_and_labels_of_one(first_file, input_section, input_paths, new_place, tmp_path):
    third = read_raw_input(input_paths[2])
    third.obs["batch"] = np.array(["x", "input_b0"])[np.arange(third.n_obs) % 2]
    third = third[:, np.arange(third.n_vars) % 8 > 0].copy()
    third.obs_names = [*read_raw_input(input_paths[1]).obs_names[:50], *third.obs_names[50:]]
    third.write_h5ad(tmp_path / "third.h5ad")
    fourth = read_raw_input(input_paths[0])
    fourth.obs["batch"] = "again"
    fourth.write_h5ad(tmp_path / "input_b0.h5ad")
    files = [input_paths[1], tmp_path / "third.h5ad", tmp_path / "input_b0.h5ad"]
    path = first_file
    for number, file in enumerate(files):
        joined = joined_on_disk(path, input_section, [file], new_place())
        path = tmp_path / f"round{number}.h5ad"
        joined.write_h5ad(path)
    rounds = DISCERNData.read_h5ad(path, 64)
    joined_on_disk(first_file, input_section, files, new_place()).write_h5ad(tmp_path / "once.h5ad")
    once = DISCERNData.read_h5ad(tmp_path / "once.h5ad", 64)
    assert rounds.shape == once.shape
    assert rounds.batches == once.batches == ["input_b0", "input_b1", "x", "again"]
    for column in ("batch", "dataset", "n_counts", "n_genes"):
        pd.testing.assert_series_equal(rounds.obs[column], once.obs[column])
    assert rounds.obs["dataset"].cat.categories.tolist() == ["input_b0", "input_b1", "third", "input_b0-1"]
    assert (rounds.X != once.X).nnz == 0
    assert (rounds.layers["counts"] != once.layers["counts"]).nnz == 0
    pd.testing.assert_frame_equal(rounds.var, once.var)
    pd.testing.assert_frame_equal(rounds.varm["measured"], once.varm["measured"])
    for key in ("batch_key", "total_count", "batch_ratios", "scale", "mmd_kernel"):
        assert rounds.config[key] == once.config[key]


def test_a_round_is_trained_on_new_cells_and_the_replayed_ones(old_file, new_file, input_section, new_place, tmp_path):
    joined = joined_on_disk(old_file, input_section, [new_file], new_place())
    before = joined.annotation.obs.copy()
    split = before["split"].astype(str).to_numpy()
    of_round = joined.for_round(replay=0.25, seed=3)
    chosen = of_round.annotation.obs["split"].notna().to_numpy()
    expected = joined.is_new | replayed_cells(before, ~joined.is_new, 0.25, 3)
    np.testing.assert_array_equal(chosen, expected)
    np.testing.assert_array_equal(of_round.annotation.obs["split"].astype(str)[chosen], split[chosen])
    schema = of_round.write_records(tmp_path / "round")
    assert schema.n_cells("training") == (split[chosen] == "train").sum()
    assert schema.n_cells("validate") == (split[chosen] == "valid").sum()
    assert schema.batches == joined.annotation.batches
    only_new = joined.for_round().write_records(tmp_path / "new")
    assert only_new.n_cells("training") == (split[joined.is_new] == "train").sum()
    pd.testing.assert_frame_equal(joined.annotation.obs, before)
    pd.testing.assert_frame_equal(of_round.annotation.varm["measured"], joined.annotation.varm["measured"])


def test_one_cell_is_joined(old_file, input_section, input_paths, new_place, tmp_path):
    one = read_raw_input(input_paths[2])[20:21].copy()
    one.write_h5ad(tmp_path / "one.h5ad")
    joined = joined_on_disk(old_file, input_section, [tmp_path / "one.h5ad"], new_place())
    joined.write_h5ad(tmp_path / "joined.h5ad")
    assert anndata.read_h5ad(tmp_path / "joined.h5ad").obs["batch"].tolist()[-1] == "one"
    config = joined.annotation.config
    assert (config["train_cells_no"]["one"], config["valid_cells_no"]["one"]) == (1, 0)
    schema = joined.for_round().write_records(tmp_path / "round")
    assert (schema.n_cells("training"), schema.n_cells("validate")) == (1, 0)
    assert joined.for_round(replay=0.1).write_records(tmp_path / "replayed").n_cells("validate") > 0


@pytest.mark.parametrize("replay", [0.0, 0.1, 0.25, 1.0])
def test_old_cells_are_drawn_per_batch_and_role(replay):
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(rng.choice(["a", "b", "c"], 400, p=[0.6, 0.38, 0.02])),
            "split": pd.Categorical(rng.choice(["train", "valid", "test"], 400, p=[0.8, 0.1, 0.1])),
        }
    )
    old = np.arange(400) < 300
    drawn = replayed_cells(obs, old, replay, seed=1)
    assert not drawn[~old].any()
    for (batch, role), cells in obs[old].groupby(["batch", "split"], observed=True):
        n_drawn = drawn[cells.index].sum()
        share = replay if role != "test" else 0
        assert n_drawn == -(-round(share * 1000) * len(cells) // 1000), (batch, role)
    np.testing.assert_array_equal(drawn, replayed_cells(obs, old, replay, seed=1))
    if replay in (0.1, 0.25):
        assert (drawn != replayed_cells(obs, old, replay, seed=2)).any()


def test_more_than_all_old_cells_cannot_be_replayed():
    obs = pd.DataFrame({"batch": pd.Categorical(["a"]), "split": ["train"]})
    with pytest.raises(ParametersError, match=r"replay 1\.5"):
        replayed_cells(obs, np.array([True]), 1.5)
