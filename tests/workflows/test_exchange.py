import hashlib
import json
import logging
import shutil
import zipfile
from dataclasses import replace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern import keys
from discern.errors import DataError, ExperimentError, ExperimentInUseError
from discern.io.cell_sources import RecordSource
from discern.io.experiment_archive import files_to_keep, read_manifest, write_archive
from discern.io.experiment_folder import ExperimentFolder
from discern.io.experiment_lock import experiment_lock
from discern.io.processed_annotation import read_annotation
from discern.io.processed_cells import open_cells
from discern.io.sealed_hdf5 import is_sealed
from discern.online_learning.query_recipe import OnlineWAERecipe
from discern.online_learning.reference import read_reference
from discern.projection.targets import Target
from discern.training.checkpoints import read_description
from discern.workflows.exchange import export_experiment, import_experiment
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.online_training import train_online
from discern.workflows.process import process
from discern.workflows.project import project
from discern.workflows.train import train

SECRETS = ("cell0", "SECRET-DONOR", "private-project", "ANTIBODY", "stem cell", "/home/")


def counts(seed, prefix):
    rng = np.random.default_rng(seed)
    values = rng.poisson(1.0 + rng.gamma(2.0, 1.0, 60) * rng.uniform(0.5, 2.0, (80, 1))).astype(np.float32)
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(np.where(np.arange(80) % 2, "ba/tch", "poor")),
            "celltype": pd.Categorical(["stem cell"] * 80),
            "donor": pd.Categorical(np.where(np.arange(80) % 3, "SECRET-DONOR-1", "SECRET-DONOR-2")),
        },
        index=[f"{prefix}{number}" for number in range(80)],
    )
    adata = AnnData(sparse.csr_matrix(values), obs=obs, var=pd.DataFrame(index=[f"GENE{one}" for one in range(60)]))
    adata.obsm["protein_expression"] = pd.DataFrame(
        rng.poisson(5.0, (80, 2)), index=obs.index, columns=["ANTIBODY-1", "ANTIBODY-2"]
    )
    return adata


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory):
    """A trained experiment; not to be changed."""
    folder = tmp_path_factory.mktemp("private-project") / "atlas"
    folder.mkdir()
    counts(0, "cell").write_h5ad(folder.parent / "cells.h5ad")
    content = {
        "input_ds": {
            "raw_input": [str(folder.parent / "cells.h5ad")],
            "filtering": {"min_genes": 5, "min_cells": 3},
            "scale": {"LSN": 1000, "fixed_scaling": {"mean": "genes", "var": "genes"}},
            "n_cpus_preprocessing": 1,
        },
        "model": {"latent_dim": 2, "encoder": {"layers": [8]}, "decoder": {"layers": [8]}},
        "training": {"batch_size": 32, "max_steps": 1, "GPU": [], "parallel_pc": 0, "XLA": False},
    }
    (folder / "parameters.json").write_text(json.dumps(content))
    process(experiment_of_folder(folder))
    train(experiment_of_folder(folder))
    return folder


@pytest.fixture
def atlas(trained_folder, tmp_path):
    """A copy of it."""
    return experiment_of_folder(shutil.copytree(trained_folder, tmp_path / "private-project" / "atlas"))


@pytest.fixture(scope="module")
def shared(trained_folder, tmp_path_factory):
    """The archive without cells; not to be changed."""
    path = tmp_path_factory.mktemp("shared") / "atlas.zip"
    export_experiment(experiment_of_folder(trained_folder), path, with_cells=False)
    return path


def files(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def repacked(path, made, change):
    """Write the archive again, whole, after a function has changed the unpacked files."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(made)
    change(ExperimentFolder(made))
    new = path.parent / "changed.zip"
    write_archive(new, "atlas", files_to_keep(ExperimentFolder(made)), with_cells=True)
    return new


def test_an_experiment_comes_back_as_it_was(atlas, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (atlas.folder.job / "mine.txt").touch()
    result = export_experiment(atlas, tmp_path / "out" / "atlas.zip")
    found = import_experiment(result.path, tmp_path / "new" / "experiments")
    assert found.folder.path == tmp_path / "new" / "experiments" / "atlas"
    assert found.config == atlas.config
    expected = files(atlas.folder.path)
    for name in ("job/mine.txt", "provenance.json", "job/last_state.previous.hdf5", "parameters.json"):
        expected.pop(name, None)
    there = files(found.folder.path)
    (step,) = json.loads(there.pop("provenance.json"))["steps"]
    assert (step["step"], step["result"]["name"], step["result"]["with_cells"]) == ("import", "atlas", True)
    assert [one["sha256"] for one in step["inputs"]] == [hashlib.sha256(result.path.read_bytes()).hexdigest()]
    assert json.loads(there.pop("parameters.json")) == atlas.content
    assert there == expected
    assert sorted([*there, "parameters.json"]) == result.files
    assert f"{found.folder.path}: a trained model, processed cells" in caplog.text
    assert train(found).finished
    assert len(project(found, [Target(keys.BATCH, "ba/tch")])) == 1
    assert sorted(path.name for path in found.folder.path.parent.iterdir()) == ["atlas"]


def test_without_records_and_model_it_is_exported_too(atlas, tmp_path):
    for part in (atlas.folder.tfrecords, atlas.folder.job):
        shutil.rmtree(part)
    atlas.folder.parameters_file.unlink()
    export_experiment(atlas, tmp_path / "a.zip")
    found = import_experiment(tmp_path / "a.zip", tmp_path)
    there = sorted(files(found.folder.path))
    assert there == ["parameters.json", "processed_data/concatenated_data.h5ad", "provenance.json"]
    assert found.content == atlas.content
    assert read_annotation(found.folder.processed_file).n_genes == 60


def test_nothing_of_cells_donors_or_paths_leaves(shared, tmp_path):
    with zipfile.ZipFile(shared) as archive:
        archive.extractall(tmp_path)
    there = files(tmp_path)
    del there["manifest.json"]
    assert sorted(there) == [
        "job/best_model.hdf5",
        "job/history.csv",
        "parameters.json",
        "processed_data/concatenated_data.h5ad",
    ]
    for name, content in there.items():
        for secret in SECRETS:
            assert secret.encode() not in content, (name, secret)
    texts = []
    for name in ("job/best_model.hdf5", "processed_data/concatenated_data.h5ad"):
        with h5py.File(tmp_path / name) as file:
            file.visititems(lambda path, item: texts.append(path))
            file.visititems(
                lambda _, item: (
                    texts.append(str(item.asstr()[()]))
                    if isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype)
                    else None
                )
            )
    assert not [text for text in texts if any(secret in text for secret in SECRETS)]
    assert len(texts) > 20
    assert json.loads(there["parameters.json"])["input_ds"]["raw_input"] == []


def test_what_was_learned_is_there(shared, trained_folder, tmp_path):
    found = import_experiment(shared, tmp_path).folder
    own = ExperimentFolder(trained_folder)
    before, after = anndata.read_h5ad(own.processed_file), anndata.read_h5ad(found.processed_file)
    assert after.shape == (0, 60)
    assert list(after.obs) == ["batch", "dataset", "n_genes", "n_counts", "split", "for_mmd"]
    assert list(after.obs["batch"].cat.categories) == list(before.obs["batch"].cat.categories) == ["ba/tch", "poor"]
    assert list(after.obs["dataset"].cat.categories) == ["cells"]
    pd.testing.assert_frame_equal(after.var, before.var)
    np.testing.assert_array_equal(after.varm["PCs"], before.varm["PCs"])
    assert (list(after.varm), list(after.obsm), after.uns["fixed_scaling"]) == (
        ["PCs"],
        [],
        before.uns["fixed_scaling"],
    )
    config = read_reference(found.processed_file).config
    n_train_cells = read_description(own.best_model)[2].n_train_cells
    assert config["cells_elsewhere"] == {"n_train_cells": n_train_cells}
    assert config["train_cells_no"] == {"ba/tch": 0, "poor": 0}
    for key in ("scale", "mmd_kernel", "batch_key", "common_genes_count"):
        assert config[key] == read_reference(own.processed_file).config[key]
    known, annotation = read_annotation(own.processed_file), read_annotation(found.processed_file)
    assert (annotation.genes, annotation.batches) == (known.genes, known.batches)
    np.testing.assert_array_equal(annotation.transform.scaling.mean, known.transform.scaling.mean)
    with open_cells(found.processed_file, 32) as cells:
        assert (cells.n_obs, cells.batches) == (0, ["ba/tch", "poor"])


def test_genes_that_were_not_measured_stay_known(atlas, tmp_path):
    data = anndata.read_h5ad(atlas.folder.processed_file)
    data.varm[keys.MEASURED] = pd.DataFrame({"cells": np.arange(60) > 3}, index=data.var_names)
    data.write_h5ad(atlas.folder.processed_file)
    export_experiment(atlas, tmp_path / "a.zip", with_cells=False)
    found = import_experiment(tmp_path / "a.zip", tmp_path).folder
    pd.testing.assert_frame_equal(
        anndata.read_h5ad(found.processed_file).varm[keys.MEASURED], data.varm[keys.MEASURED], check_names=False
    )


def test_others_add_and_project_their_cells_without_mine(shared, trained_folder, tmp_path):
    found = import_experiment(shared, tmp_path)
    query = counts(1, "other")
    query.obs["batch"] = pd.Categorical(["third"] * 80)
    recipes = [
        OnlineWAERecipe(read_reference(folder.processed_file), found.config.input_ds, inputs={"theirs": query.copy()})
        for folder in (found.folder, ExperimentFolder(trained_folder))
    ]
    with_mine, without = (recipe().sc_raw for recipe in recipes)
    assert without.batches == ["ba/tch", "poor", "third"]
    np.testing.assert_array_equal(without.X.toarray(), with_mine.X.toarray())
    project_from = tmp_path / "theirs.h5ad"
    shutil.copyfile(ExperimentFolder(trained_folder).processed_file, project_from)
    (path,) = project(found, [Target(keys.BATCH, "poor")], filename=project_from)
    own = experiment_of_folder(shutil.copytree(trained_folder, tmp_path / "own"))
    (expected,) = project(own, [Target(keys.BATCH, "poor")])
    np.testing.assert_array_equal(
        anndata.read_h5ad(path).to_df().to_numpy(), anndata.read_h5ad(expected).to_df().to_numpy()
    )


@pytest.mark.slow
def test_a_reference_grows_without_its_cells(shared, tmp_path, caplog):
    found = import_experiment(shared, tmp_path)
    n_elsewhere = read_description(found.folder.best_model)[2].n_train_cells
    with pytest.raises(ExperimentError, match="shared without its cells"):
        train(found)
    with pytest.raises(ExperimentError, match="shared without its cells.*--filename"):
        project(found)
    query = counts(1, "other")
    query.obs["batch"] = pd.Categorical(["third"] * 80)
    query.write_h5ad(tmp_path / "theirs.h5ad")
    with pytest.raises(DataError, match="none can be replayed"):
        train_online(found, tmp_path / "absent.h5ad", replay=0.1)
    assert train_online(found, tmp_path / "theirs.h5ad", freeze=True).n_cells == 80
    here = RecordSource(found.folder.tfrecords, "training").n_cells
    assert read_description(found.folder.best_model)[2].n_train_cells == n_elsewhere + here
    train(experiment_of_folder(found.folder.path))
    assert f"{n_elsewhere} of the reference are elsewhere" in caplog.text
    (path,) = project(experiment_of_folder(found.folder.path), [Target(keys.BATCH, "poor")])
    assert anndata.read_h5ad(path).n_obs == 80


def test_a_reference_without_cells_can_be_passed_on(shared, tmp_path):
    found = import_experiment(shared, tmp_path)
    export_experiment(found, tmp_path / "again.zip", with_cells=False)
    again = import_experiment(tmp_path / "again.zip", tmp_path / "again")
    expected, there = files(found.folder.path), files(again.folder.path)
    assert expected.pop("provenance.json") != there.pop("provenance.json")
    assert there == expected


def test_there_must_be_something_to_export(atlas, tmp_path):
    other = replace(atlas, folder=ExperimentFolder(tmp_path / "other"))
    with pytest.raises(ExperimentError, match="Run `discern process`"):
        export_experiment(other, tmp_path / "a.zip")
    assert not other.folder.path.exists()
    atlas.folder.best_model.unlink()
    with pytest.raises(ExperimentError, match="nothing to share"):
        export_experiment(atlas, tmp_path / "a.zip", with_cells=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["private-project"]


def test_a_file_is_replaced_only_when_asked(atlas, tmp_path):
    path = tmp_path / "a.zip"
    path.write_text("mine")
    with pytest.raises(ExperimentError, match="--force"):
        export_experiment(atlas, path)
    assert path.read_text() == "mine"
    export_experiment(atlas, path, force=True)
    assert read_manifest(path).with_cells
    with pytest.raises(ExperimentError, match="exists"):
        export_experiment(atlas, tmp_path, force=True)


def test_an_experiment_at_work_is_not_exported(atlas, tmp_path):
    with experiment_lock(atlas.folder, "train"), pytest.raises(ExperimentInUseError):
        export_experiment(atlas, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_a_folder_that_is_there_is_not_touched(shared, tmp_path):
    (tmp_path / "atlas").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ExperimentError, match="exists already"):
        import_experiment(shared, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["atlas"]


def _another_folder(folder):
    content = {"exp_param": {"experiments_dir": "/"}, "experiments": {"etc": {}}}
    folder.parameters_file.write_text(json.dumps(content))


def _search_file(folder):
    folder.parameters_file.write_text(json.dumps({"input_ds": {}, "hyperparameter_search": "/etc/passwd"}))


def _unknown_parameter(folder):
    folder.parameters_file.write_text(json.dumps({"input_ds": {"evil": 1}}))


def _no_parameters(folder):
    folder.parameters_file.write_text("[")


def _external_link(folder):
    with h5py.File(folder.processed_file, "r+") as file:
        file["layers/other"] = h5py.ExternalLink("/etc/passwd", "/")


def _external_weights(folder):
    with h5py.File(folder.best_model, "w") as file:
        file.create_dataset("weights", (1,), external=[("/etc/passwd", 0, 8)])


def _damaged_model(folder):
    assert is_sealed(folder.best_model)
    content = bytearray(folder.best_model.read_bytes())
    content[-1] ^= 1
    folder.best_model.write_bytes(content)


def _no_hdf5(folder):
    folder.processed_file.write_bytes(b"no HDF5")


def _other_records(folder):
    folder.tfrecords.mkdir()
    (folder.tfrecords / "schema.json").write_text("{}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_another_folder, "elsewhere"),
        (_search_file, "elsewhere"),
        (_unknown_parameter, "unknown key"),
        (_no_parameters, "no valid JSON"),
        (_external_link, "is a link to"),
        (_external_weights, "is in /etc/passwd"),
        (_damaged_model, "checksum"),
        (_no_hdf5, "no HDF5 file"),
        (_other_records, "schema.json is damaged"),
    ],
)
def test_hostile_archives_leave_nothing_behind(shared, tmp_path, change, told):
    own = shutil.copyfile(shared, tmp_path / "a.zip")
    path = repacked(own, tmp_path / "unpacked", change)
    with pytest.raises(DataError, match=told) as error:
        import_experiment(path, tmp_path / "new" / "experiments")
    assert str(path) in str(error.value)
    assert not (tmp_path / "new").exists()


def test_damaged_archives_leave_nothing_behind(shared, tmp_path):
    whole, rng = shared.read_bytes(), np.random.default_rng(2)
    path = tmp_path / "a.zip"
    for _ in range(30):
        content = bytearray(whole)
        if rng.integers(2):
            del content[int(rng.integers(len(content))) :]
        else:
            for place in rng.integers(0, len(content), 20):
                content[place] ^= 255
        path.write_bytes(content)
        with pytest.raises((DataError, ExperimentError)):
            import_experiment(path, tmp_path / "new")
        assert [one.name for one in tmp_path.iterdir()] == ["a.zip"]


def test_an_interrupted_import_leaves_nothing_behind(shared, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("discern.workflows.exchange.read_annotation", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_experiment(shared, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
