"""Names that files and users give lead nowhere else: no file outside the experiment, no module, no pickle, no archive."""

import ast
import io
import tempfile
import warnings
import zipfile
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import discern
from discern.config.experiment import ParametersFile
from discern.config_section import validate_section
from discern.errors import DataError, ParametersError
from discern.io.cell_store import Piece
from discern.io.experiment_folder import ExperimentFolder
from discern.io.reading import read_raw_input
from discern.io.whole_files import remove_folder, replacing_folder, write_json
from discern.projection.targets import Target

FEW = settings(
    max_examples=100, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
MANY = settings(FEW, max_examples=10_000, derandomize=False)
PARTS = [
    "..",
    ".",
    "/",
    "\\",
    "\0",
    "\n",
    "a",
    "x" * 300,
    "C:",
    "~",
    "\ud800",
    " ",
    "ß",
    "\u2044",
    "%2e%2e",
    "CON",
    ":",
]
NAMES = st.one_of(
    st.lists(st.sampled_from(PARTS), max_size=5).map("".join), st.text(st.characters(codec=None), max_size=20)
)
PACKAGE = Path(discern.__file__).parent


def check_experiment(name):
    """The folder of an experiment is made below experiments_dir, or its name is refused."""
    with tempfile.TemporaryDirectory() as parent:
        content = {"exp_param": {"experiments_dir": parent}, "experiments": {name: {}}}
        try:
            validate_section(ParametersFile, content)
        except ParametersError:
            return
        folder = ExperimentFolder(Path(parent) / name)
        write_json(folder.parameters_file, {})
        assert Path(parent).resolve() in folder.path.resolve().parents
        assert [path.name for path in Path(parent).rglob("*.json")] == ["parameters.json"]


def check_target(texts):
    """The file of a target is in the folder it is written to, and can be written there."""
    column, value = texts
    name = Target(column or "column", value or None).file_name
    assert Path(name).name == name
    assert name.endswith(".h5ad")
    assert not set(name) & set('\\/:*?"<>|\0\n')
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f".{name}.1234567.tmp.h5ad").touch()
        assert [path.parent for path in Path(folder).iterdir()] == [Path(folder)]


@FEW
@given(NAMES)
def test_experiments_stay_below_their_folder(name):
    check_experiment(name)


@pytest.mark.slow
@MANY
@given(NAMES)
def test_many_experiments_stay_below_their_folder(name):
    check_experiment(name)


@FEW
@given(st.tuples(NAMES, NAMES))
def test_projected_files_stay_in_their_folder(texts):
    check_target(texts)


@pytest.mark.slow
@MANY
@given(st.tuples(NAMES, NAMES))
def test_many_projected_files_stay_in_their_folder(texts):
    check_target(texts)


def test_long_values_of_one_beginning_have_files_of_their_own():
    names = {Target("batch", "x" * 10_000 + end).file_name for end in "ab"}
    assert len(names) == 2
    assert max(map(len, names)) < 240


def test_a_file_that_is_a_link_is_replaced_not_followed(tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/parameters.json").symlink_to(outside)
    write_json(tmp_path / "run/parameters.json", {})
    assert outside.read_text() == "mine"
    assert not (tmp_path / "run/parameters.json").is_symlink()


def test_a_folder_that_is_a_link_is_replaced_not_emptied(tmp_path):
    outside = tmp_path / "scratch"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/TF_records").symlink_to(outside)
    with replacing_folder(tmp_path / "run/TF_records") as folder:
        (folder / "new").touch()
    assert (outside / "precious").read_text() == "mine"
    assert [path.name for path in (tmp_path / "run/TF_records").iterdir()] == ["new"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["TF_records"]


def test_removing_a_link_to_a_folder_leaves_the_folder(tmp_path):
    outside = tmp_path / "scratch"
    outside.mkdir()
    (outside / "precious").touch()
    (tmp_path / "link").symlink_to(outside)
    remove_folder(tmp_path / "link")
    assert not (tmp_path / "link").exists()
    assert (outside / "precious").exists()


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz", ".TAR.GZ", ".tar.bz2", ".tar.xz"])
def test_archives_are_refused(tmp_path, suffix):
    path = tmp_path / f"cells{suffix}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.csv", "gene,cell\nA,1\n")
    with pytest.raises(DataError, match="is an archive"):
        read_raw_input(path)
    assert list(tmp_path.iterdir()) == [path]


class Touching:
    """Unpickling one makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pieces_with_pickles_are_not_read(tmp_path):
    mark = tmp_path / "mark"
    arrays = dict.fromkeys(("values", "genes", "ends"), np.array([Touching(mark)], dtype=object))
    np.savez(tmp_path / "piece.npz", **arrays)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Piece(tmp_path / "piece.npz", 1, 1, 1, "|u1").read()
    assert not mark.exists()
    with zipfile.ZipFile(tmp_path / "piece.npz") as file:  # the file would have done it
        np.load(io.BytesIO(file.read("values.npy")), allow_pickle=True)
    assert mark.exists()


@pytest.fixture
def cells(tmp_path):
    """An .h5ad file."""
    path = tmp_path / "cells.h5ad"
    obs, var = (pd.DataFrame(index=[f"{kind}{i}" for i in range(5)]) for kind in ("cell", "gene"))
    ad.AnnData(np.ones((5, 5), dtype=np.float32), obs=obs, var=var).write_h5ad(path)
    return path


def test_parts_of_other_files_are_refused(cells, tmp_path):
    read_raw_input(cells)
    other = cells.with_name("other.h5ad")
    other.write_bytes(cells.read_bytes())
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(25, dtype=np.float32).tobytes())
    layout = h5py.VirtualLayout((5, 5), np.float32)
    layout[:] = h5py.VirtualSource(str(other), "X", (5, 5))
    ways = {
        "is a link to": lambda file: file.__setitem__("X", h5py.ExternalLink(str(other), "/X")),
        "secret": lambda file: file.create_dataset("X", (5, 5), np.float32, external=[(str(secret), 0, 100)]),
        "a view of other": lambda file: file.create_virtual_dataset("X", layout),
    }
    whole = cells.read_bytes()
    for message, put in ways.items():
        cells.write_bytes(whole)
        with h5py.File(cells, "r+") as file:
            del file["X"]
            put(file)
        with pytest.raises(DataError, match=f"holds only part of its data: X.*{message}"):
            read_raw_input(cells)


def calls():
    """Every call in the package: (file, name of what is called, the call)."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield str(path.relative_to(PACKAGE)), ast.unparse(node.func), node


def test_nothing_in_the_package_unpickles_or_unpacks():
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "tarfile", "zipfile", "runpy"}
    opens_archives = PACKAGE / "io" / "experiment_archive.py"  # member by member, names from a closed set
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & banned - {path == opens_archives and "zipfile"}, path
    found = 0
    for path, name, call in calls():
        assert name not in {
            "eval",
            "exec",
            "__import__",
            "compile",
            "pd.read_pickle",
            "os.system",
            "shutil.unpack_archive",
        }, path
        if name == "np.load":
            found += 1
            assert {key.arg: ast.unparse(key.value) for key in call.keywords}["allow_pickle"] == "False", path
        assert not name.endswith((".extract", ".extractall")), path
        assert not any(key.arg == "shell" for key in call.keywords), path
    assert found


def test_only_closed_tables_import_by_name():
    importing = {path for path, name, _ in calls() if name.endswith("import_module")}
    assert importing == {"registry.py", "lazy_names.py", "functions.py"}


def test_reading_hostile_tables_makes_no_file(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("gene,../../escaped\n/etc/passwd,1\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = read_raw_input(path)
    assert adata.obs_names.tolist() == ["../../escaped"]
    assert list(tmp_path.iterdir()) == [path]
