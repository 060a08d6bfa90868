import json
import os

import pytest

from discern.config.loading import load_experiments
from discern.config.merging import merge_parameters
from discern.errors import ParametersError


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a parameters file into the current folder, a temporary one."""
    monkeypatch.chdir(tmp_path)

    def write(name, folder, **experiments):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"exp_param": {"experiments_dir": str(folder)}, "experiments": experiments}))
        return path

    return write


def places(path):
    return {os.path.normpath(one.folder.absolute()): one.content for one in load_experiments(path)}


def merged_places(tmp_path, files):
    merged = tmp_path / "merged.json"
    merged.write_text(json.dumps(merge_parameters(files)))
    return places(merged)


def test_one_folder_keeps_its_name_and_the_content(write):
    files = [write("a.json", "exps", a={"model": {"latent_dim": 3}}), write("b.json", "exps", b={}, c={})]
    assert merge_parameters(files) == {
        "exp_param": {"experiments_dir": "exps"},
        "experiments": {"a": {"model": {"latent_dim": 3}}, "b": {}, "c": {}},
    }


def test_experiments_of_different_folders_are_named_below_the_common_parent(write, tmp_path):
    files = [
        write("a.json", "exps/first", run={"training": {"seed": 1}}),
        write("b.json", tmp_path / "exps" / "second", run={"training": {"seed": 2}}),
        write("c.json", "exps", run={}),
    ]
    merged = merge_parameters(files)
    assert merged["exp_param"] == {"experiments_dir": "exps"}
    assert list(merged["experiments"]) == ["first/run", "second/run", "run"]
    assert merged_places(tmp_path, files) == places(files[0]) | places(files[1]) | places(files[2])


def test_a_common_folder_outside_the_current_one_is_absolute(write, tmp_path, monkeypatch):
    files = [write("a.json", tmp_path / "exps", a={}), write("b.json", tmp_path / "exps", b={})]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert merge_parameters(files)["exp_param"] == {"experiments_dir": str(tmp_path / "exps")}


def test_the_file_inside_an_experiment_folder_can_be_merged(write, tmp_path):
    inner = tmp_path / "exps" / "old" / "parameters.json"
    inner.parent.mkdir(parents=True)
    inner.write_text(json.dumps({"training": {"seed": 5}}))
    merged = merge_parameters([inner, write("a.json", "exps", new={})])
    assert merged == {
        "exp_param": {"experiments_dir": "exps"},
        "experiments": {"old": {"training": {"seed": 5}}, "new": {}},
    }


def test_a_link_in_the_path_is_kept(write, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "exps").symlink_to(tmp_path / "disk")
    assert merge_parameters([write("a.json", "exps", a={})])["exp_param"] == {"experiments_dir": "exps"}


def test_the_same_experiment_twice_is_refused(write, tmp_path):
    files = [write("a.json", "exps", run={}), write("b.json", tmp_path / "exps" / "." / "x" / "..", run={})]
    with pytest.raises(ParametersError, match="stand in more than one file"):
        merge_parameters(files)


def test_an_experiment_inside_another_is_refused(write):
    files = [write("a.json", "exps", run={}), write("b.json", "exps/run", inner={})]
    with pytest.raises(ParametersError, match="'run/inner' would lie inside the folder of experiment 'run'"):
        merge_parameters(files)


def test_an_invalid_file_is_named(write):
    path = write("b.json", "exps", run={"modell": {}})
    with pytest.raises(ParametersError, match="modell: unknown key") as error:
        merge_parameters([write("a.json", "exps", a={}), path])
    assert str(path) in str(error.value)
