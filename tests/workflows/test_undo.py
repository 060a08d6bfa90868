import json
import logging
import shutil
import signal
import subprocess
import sys

import pytest

from discern.errors import ExperimentError, ExperimentInUseError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.experiment_lock import experiment_lock
from discern.io.provenance import read_steps
from discern.online_learning.staging import staged_experiment
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.runner import OnlineDISCERNRunner
from discern.workflows.undo import UndoResult, undo_online
from discern.workflows.working_alone import working_alone

# Undoes in a child that kills itself before a step; prints the last step reached, or nothing when there was none.
KILLED = """
import os, signal, sys
from pathlib import Path
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.undo import undo_online

calls = []
for name in ("rename", "replace", "unlink", "rmdir"):
    real = getattr(Path, name)
    def counted(self, *args, real=real, name=name, **kwargs):
        calls.append(f"{name} {self.name}")
        if len(calls) == int(sys.argv[2]):
            print(calls[-1], flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, *args, **kwargs)
    setattr(Path, name, counted)
undo_online(experiment_of_folder(Path(sys.argv[1])))
"""


def parameters(number) -> str:
    return json.dumps({"input_ds": {"raw_input": [f"{one}.h5ad" for one in range(number)]}})


def fill(folder: ExperimentFolder, number: int) -> None:
    for path in (folder.processed_file, folder.tfrecords / "schema.json", folder.best_model):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"state {number}")
    folder.parameters_file.write_text(parameters(number))


def files(folder) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def state(number: int, kept: dict[int, int], states: dict[int, int]) -> dict[str, str]:
    """The files of a state, with jobs and whole states in the backup: number of the folder -> number of the state."""
    text = f"state {number}"
    own = {"job/best_model.hdf5": text, "TF_records/schema.json": text, "parameters.json": parameters(number)}
    own["processed_data/concatenated_data.h5ad"] = text
    for backup, which in kept.items():
        own[f"backup/{backup}/job/best_model.hdf5"] = f"state {which}"
    for backup, which in states.items():
        own |= {f"backup/{backup}/{name}": content for name, content in state(which, {}, {}).items()}
    return own


@pytest.fixture
def grown(tmp_path):
    """An experiment of state 3; in its backup states 1 and 2, and between them a job of a restart."""
    folder = ExperimentFolder(tmp_path / "run")
    fill(folder, 1)
    for number in (2, 3):
        if number == 3:
            fill_job = folder.next_backup.best_model
            fill_job.parent.mkdir(parents=True)
            fill_job.write_text("state 9")
        with staged_experiment(folder) as staging:
            fill(staging, number)
    assert files(folder.path) == state(3, {2: 9}, {1: 1, 3: 2})
    return experiment_of_folder(folder.path)


def test_undoing_walks_back_and_keeps_the_jobs(grown, caplog):
    caplog.set_level(logging.INFO)
    folder = grown.folder
    assert undo_online(grown) == UndoResult(folder.backup / "3", folder.backup / "4" / "job")
    assert files(folder.path) == state(2, {2: 9, 4: 3}, {1: 1})
    assert f"kept in {folder.backup / '4' / 'job'}" in caplog.text
    undo_online(grown)
    assert files(folder.path) == state(1, {2: 9, 4: 3, 5: 2}, {})
    before = files(folder.path)
    with pytest.raises(ExperimentError, match=r"no online training to undo: no folder in .* holds processed data\.$"):
        undo_online(grown)
    assert files(folder.path) == before
    assert not list(folder.path.glob(".*"))


def test_growing_again_after_an_undo_has_a_number_of_its_own(grown):
    undo_online(grown)
    with staged_experiment(grown.folder) as staging:
        fill(staging, 7)
    assert files(grown.folder.path) == state(7, {2: 9, 4: 3}, {1: 1, 5: 2})
    undo_online(grown)
    assert files(grown.folder.path) == state(2, {2: 9, 4: 3, 6: 7}, {1: 1})


def test_records_of_the_undone_state_do_not_stay(tmp_path):
    folder = ExperimentFolder(tmp_path / "run")
    fill(folder, 1)
    shutil.rmtree(folder.tfrecords)
    with staged_experiment(folder) as staging:
        fill(staging, 2)
    undo_online(experiment_of_folder(folder.path))
    assert not folder.tfrecords.exists()
    assert folder.processed_file.read_text() == "state 1"


def test_what_a_user_put_into_the_backup_stays(grown):
    (grown.folder.backup / "3" / "projected").mkdir()
    (grown.folder.backup / "3" / "projected" / "mine.h5ad").write_text("mine")
    undo_online(grown)
    assert (grown.folder.backup / "3" / "projected" / "mine.h5ad").read_text() == "mine"
    assert undo_online(grown).restored == grown.folder.backup / "1"


def test_the_backup_of_an_earlier_version_is_neither_taken_nor_lost(tmp_path):
    folder = ExperimentFolder(tmp_path / "run")
    fill(folder, 1)
    for path in (folder.backup / "best_model.hdf5", folder.backup / "1" / "best_model.hdf5"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("published")
    before = files(folder.path)
    with pytest.raises(ExperimentError, match="made by an earlier version, which kept the job only"):
        undo_online(experiment_of_folder(folder.path))
    assert files(folder.path) == before


def test_a_backup_at_work_is_not_taken(grown):
    with experiment_lock(grown.folder.backups[-1], "project"), pytest.raises(ExperimentInUseError, match="project"):
        undo_online(grown)
    assert files(grown.folder.path) == state(3, {2: 9}, {1: 1, 3: 2})


def test_a_fault_while_renaming_changes_nothing(grown, monkeypatch):
    path_class = type(grown.folder.path)
    rename, before = path_class.rename, files(grown.folder.path)
    for number in range(7):
        calls = []

        def failing(self, target, calls=calls, number=number):
            calls.append(self)
            if len(calls) == number + 1:
                raise OSError("no space")
            return rename(self, target)

        monkeypatch.setattr(path_class, "rename", failing)
        with pytest.raises(OSError, match="no space"):
            undo_online(grown)
        assert files(grown.folder.path) == before
    monkeypatch.setattr(path_class, "rename", rename)
    undo_online(grown)
    assert files(grown.folder.path) == state(2, {2: 9, 4: 3}, {1: 1})


def test_a_kill_at_a_rename_is_made_up_for_by_the_next_verb(grown, tmp_path):
    seen = []
    for number in (2, 4, 5, 8, 10, 11):
        folder = shutil.copytree(grown.folder.path, tmp_path / str(number))
        ran = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(number)], capture_output=True, text=True)
        assert ran.returncode == -signal.SIGKILL, ran.stderr
        seen.append(ran.stdout.strip())
        content = working_alone("train")(lambda experiment: experiment.content)(experiment_of_folder(folder))
        found = {name: text for name, text in files(folder).items() if not name.endswith(".lock")}
        if found != state(3, {2: 9}, {1: 1, 3: 2}):
            assert found == state(2, {2: 9, 4: 3}, {1: 1})
        assert content == json.loads(found["parameters.json"])
    assert any(step.startswith("rename") for step in seen)


def test_the_next_verb_takes_the_parameters_that_hold_then(grown):
    folder = grown.folder
    folder.staging.mkdir()
    (folder.staging / "new").mkdir()
    (folder.staging / "new" / "parameters.json").write_text(parameters(5))
    moves = [[".staging/new/parameters.json", "parameters.json"]]
    content = {"format": "discern-moves", "version": 1, "purpose": "a test", "moves": moves}
    folder.journal.write_text(json.dumps(content))
    before = (grown.with_seed(5), experiment_of_folder(folder.path))
    found = working_alone("train")(lambda experiment: experiment)(before[0])
    assert found.config.training.seed == 5
    assert len(found.config.input_ds.raw_input) == 5
    assert working_alone("train")(lambda experiment: experiment)(before[1]) is before[1]


def test_the_step_is_recorded(grown):
    (outcome,) = OnlineDISCERNRunner()("undo", [grown])
    assert outcome.result.restored == grown.folder.backup / "3"
    (step,) = read_steps(grown.folder.provenance)
    assert (step["step"], step["outcome"], step["inputs"], step["seeds"]) == ("undo", "finished", [], {})
    assert step["result"]["kept_job"] == str(grown.folder.backup / "4" / "job")
