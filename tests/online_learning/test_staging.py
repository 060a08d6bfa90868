import pytest

from discern.io.experiment_folder import ExperimentFolder
from discern.online_learning.staging import move_all, staged_experiment


def files(folder) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def fill(folder: ExperimentFolder, text: str) -> None:
    for path in (folder.processed_file, folder.tfrecords / "schema.json", folder.parameters_file, folder.best_model):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def folder(tmp_path):
    made = ExperimentFolder(tmp_path / "run")
    fill(made, "old")
    made.backup.mkdir()
    (made.backup / "best_model.hdf5").write_text("older")
    (made.processed_data / "mine.txt").write_text("kept")
    return made


def test_everything_staged_takes_its_place_and_job_becomes_backup(folder):
    with staged_experiment(folder) as staging:
        fill(staging, "new")
    assert files(folder.path) == {
        "TF_records/schema.json": "new",
        "backup/best_model.hdf5": "old",
        "job/best_model.hdf5": "new",
        "parameters.json": "new",
        "processed_data/concatenated_data.h5ad": "new",
        "processed_data/mine.txt": "kept",
    }


def test_folders_of_restarts_stay_in_backup(folder):
    for number in ("1", "12"):
        (folder.backup / number).mkdir()
        (folder.backup / number / "best_model.hdf5").write_text(f"before restart {number}")
    with staged_experiment(folder) as staging:
        fill(staging, "new")
    kept = {name: text for name, text in files(folder.path).items() if name.startswith("backup/")}
    assert kept == {
        "backup/best_model.hdf5": "old",
        "backup/1/best_model.hdf5": "before restart 1",
        "backup/12/best_model.hdf5": "before restart 12",
    }


def test_what_is_not_staged_stays(folder):
    with staged_experiment(folder) as staging:
        staging.parameters_file.write_text("new")
    assert files(folder.path)["parameters.json"] == "new"
    assert files(folder.path)["job/best_model.hdf5"] == "old"
    assert files(folder.path)["backup/best_model.hdf5"] == "older"


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_fault_leaves_the_folder_as_it_was(folder, fault):
    before = files(folder.path)
    with pytest.raises(fault), staged_experiment(folder) as staging:
        fill(staging, "new")
        raise fault
    assert files(folder.path) == before
    assert not list(folder.path.glob(".*"))


@pytest.mark.parametrize("number", range(9))
def test_a_fault_while_renaming_undoes_the_renames_before_it(folder, monkeypatch, number):
    before, calls = files(folder.path), []
    path_class = type(folder.path)
    rename = path_class.rename

    def failing(self, target):
        calls.append(self)
        if len(calls) == number + 1:
            raise OSError("no space")
        return rename(self, target)

    with pytest.raises(OSError, match="no space"), staged_experiment(folder) as staging:
        fill(staging, "new")
        monkeypatch.setattr(path_class, "rename", failing)
    assert files(folder.path) == before


def test_moves_are_made_in_their_order(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    move_all([(tmp_path / "a", tmp_path / "c" / "a"), (tmp_path / "b", tmp_path / "a")])
    assert files(tmp_path) == {"a": "b", "c/a": "a"}
