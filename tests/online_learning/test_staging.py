import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from discern.errors import ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.online_learning import staging as module
from discern.online_learning.journal import Journal
from discern.online_learning.staging import recover, staged_experiment

NAMES = ("TF_records/schema.json", "job/best_model.hdf5", "parameters.json", "processed_data/concatenated_data.h5ad")
# Replaces a state in a child for every step at which it kills itself; prints what the steps were.
KILLER = """
import os, signal, sys
from pathlib import Path
from discern.io.experiment_folder import ExperimentFolder
from discern.online_learning.staging import staged_experiment

root, made = Path(sys.argv[1]), sys.argv[2].split(",")

def stop_before(number):
    calls = []
    for name in ("rename", "replace", "unlink", "rmdir"):
        real = getattr(Path, name)
        def counted(self, *args, real=real, name=name, **kwargs):
            calls.append(f"{name} {self.name}")
            if len(calls) == number:
                os.write(writer, calls[-1].encode())
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, *args, **kwargs)
        setattr(Path, name, counted)

number = 0
while True:
    number += 1
    folder = ExperimentFolder(root / str(number))
    os.system(f"cp -r {root / 'before'} {folder.path}")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with staged_experiment(folder) as staging:
            for name in made:
                path = staging.path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("new")
            stop_before(number)
        os._exit(0)
    os.close(writer)
    status = os.waitpid(pid, 0)[1]
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    print(number, os.read(reader, 1000).decode(), sep="\\t", flush=True)
"""


def files(folder) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def fill(folder: ExperimentFolder, text: str) -> None:
    for path in (folder.path / name for name in NAMES):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def before_and_after() -> tuple[dict[str, str], dict[str, str]]:
    own = {"backup/best_model.hdf5": "published", "backup/3/job/best_model.hdf5": "restarted"}
    own["processed_data/mine.txt"] = "kept"
    old, new = (dict.fromkeys(NAMES, text) for text in ("old", "new"))
    return own | old, own | new | {f"backup/4/{name}": text for name, text in old.items()}


@pytest.fixture
def folder(tmp_path):
    made = ExperimentFolder(tmp_path / "before")
    fill(made, "old")
    for name, text in before_and_after()[0].items():
        path = made.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return made


def test_everything_staged_takes_its_place_and_the_state_before_is_kept(folder, caplog):
    caplog.set_level(logging.INFO)
    with staged_experiment(folder) as staging:
        fill(staging, "new")
    assert files(folder.path) == before_and_after()[1]
    assert f"is kept in {folder.backup / '4'} (0.1 MB)" in caplog.text
    assert not list(folder.path.glob(".*"))


def test_the_second_time_has_the_next_number(folder):
    for text in ("new", "newer"):
        with staged_experiment(folder) as staging:
            fill(staging, text)
    assert [one.name for one in folder.backups] == ["3", "4", "5"]
    assert {files(folder.path)[name] for name in NAMES} == {"newer"}
    assert {files(folder.backup / "5")[name] for name in NAMES} == {"new"}


def test_what_is_not_staged_stays(folder):
    with staged_experiment(folder) as staging:
        staging.parameters_file.write_text("new")
    before = before_and_after()[0]
    assert files(folder.path) == before | {"parameters.json": "new", "backup/4/parameters.json": "old"}


def test_nothing_staged_changes_nothing(folder):
    with staged_experiment(folder):
        pass
    assert files(folder.path) == before_and_after()[0]
    assert not (folder.backup / "4").exists()


def test_the_first_state_has_nothing_before_it(tmp_path):
    folder = ExperimentFolder(tmp_path)
    with staged_experiment(folder) as staging:
        fill(staging, "new")
    assert files(tmp_path) == dict.fromkeys(NAMES, "new")
    assert not folder.backup.exists()


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_fault_leaves_the_folder_as_it_was(folder, fault):
    with pytest.raises(fault), staged_experiment(folder) as staging:
        fill(staging, "new")
        raise fault
    assert files(folder.path) == before_and_after()[0]
    assert not list(folder.path.glob(".*"))


@pytest.mark.parametrize("number", range(8))
def test_a_fault_while_renaming_undoes_the_renames_before_it(folder, monkeypatch, number):
    calls = []
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
    assert files(folder.path) == before_and_after()[0]
    assert not (folder.backup / "4").exists()
    assert not list(folder.path.glob(".*"))


def test_the_parameters_come_back_when_the_last_step_fails(folder, monkeypatch):
    finish = Journal.finish

    def failing(self, of):
        finish(self, of)
        raise OSError("no fsync")

    monkeypatch.setattr(Journal, "finish", failing)
    with pytest.raises(OSError, match="no fsync"), staged_experiment(folder) as staging:
        fill(staging, "new")
    assert files(folder.path) == before_and_after()[0]


@pytest.mark.usefixtures("in_the_foreground")
def test_a_signal_waits_for_the_last_rename(folder, monkeypatch):
    path_class = type(folder.path)
    rename, sent = path_class.rename, []

    def interrupted(self, target):
        if not sent:
            sent.append(os.kill(os.getpid(), 2))
        return rename(self, target)

    with pytest.raises(KeyboardInterrupt), staged_experiment(folder) as staging:
        fill(staging, "new")
        monkeypatch.setattr(path_class, "rename", interrupted)
    assert files(folder.path) == before_and_after()[1]


@pytest.mark.parametrize("made", [NAMES, NAMES[2:]], ids=["all", "some"])
def test_a_kill_at_any_step_leaves_the_old_state_or_lets_the_new_one_be_finished(folder, made, caplog):
    ran = subprocess.run(
        [sys.executable, "-c", KILLER, str(folder.path.parent), ",".join(made)],
        check=True,
        capture_output=True,
        text=True,
    )
    before, after = before_and_after()
    after = before | dict.fromkeys(made, "new") | {f"backup/4/{name}": "old" for name in made}
    steps = [line.split("\t") for line in ran.stdout.splitlines()]
    written = next(int(number) for number, step in steps if step.startswith("replace .moves."))
    ended = max(int(number) for number, step in steps if step == "unlink moves.json")
    assert sum(step.startswith("rename") for _, step in steps) == 2 * len(made)
    for number, _ in steps:
        killed = ExperimentFolder(folder.path.parent / number)
        journaled = int(number) > written
        assert files(killed.path).get("parameters.json") in {"old", "new"}  # whoever comes next can read them
        assert recover(killed) is (journaled and int(number) <= ended)
        assert files(killed.path) == (after if journaled else before)
        assert not list(killed.path.glob(".*"))
    assert "its end was made up for" in caplog.text


def journaled(folder, moves, **changes) -> None:
    folder.staging.mkdir()
    content = {"format": "discern-moves", "version": 1, "purpose": "a test", "moves": moves} | changes
    folder.journal.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "name",
    [
        "../job",
        "/etc/passwd",
        "backup/../job",
        "backup/x/job",
        "backup/1/../../job",
        ".staging/new/../../../job",
        "job/best_model.hdf5",
        "projected",
        "",
        "job\n",
        3,
        None,
    ],
)
def test_a_journal_that_names_other_places_is_refused(folder, name):
    for moves in ([[name, "backup/9/job"]], [["job", name]]):
        journaled(folder, moves)
        with pytest.raises(ExperimentError, match="moves.json is damaged"):
            recover(folder)
        shutil.rmtree(folder.staging)
        assert files(folder.path) == before_and_after()[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"format": "discern-moves", "version": 2, "purpose": "", "moves": []}',
        b'{"format": "discern-moves", "version": 1, "purpose": "", "moves": [["job"]]}',
        b'{"format": "discern-moves", "version": 1, "purpose": "", "moves": {"a": 1}}',
        b'{"format": "discern-moves", "version": 1, "purpose": "", "moves": 3}',
        b'{"format": "discern-moves", "version": 1, "purpose": {}, "moves": []}',
        b'{"format": "discern-moves", "version": 1, "purpose": "", "moves": [], "more": 1}',
        b'{"format": "discern-moves", "version": 1, "purpose": "", "moves": '
        b'[["job", "backup/1/job"], ["backup/1/job", "backup/2/job"]]}',
    ],
)
def test_a_damaged_journal_is_told_and_nothing_is_lost(folder, content):
    fill(ExperimentFolder(folder.staging / "new"), "new")
    folder.journal.write_bytes(content)
    before = files(folder.path) if content != b"\xff" else None
    with pytest.raises(ExperimentError, match=r"moves.json is damaged .* by hand"):
        recover(folder)
    assert before is None or files(folder.path) == before


def test_a_move_whose_file_is_gone_is_told(folder):
    journaled(folder, [[".staging/new/job", "backup/9/job"]])
    with pytest.raises(ExperimentError, match="is missing, and so is"):
        recover(folder)


def test_leftovers_are_removed(folder, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (folder.path / f".counts.{ended.pid}.tmp").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "moves.json").write_text("{}")
    folder.staging.symlink_to(tmp_path / "elsewhere")
    fill(ExperimentFolder(folder.path / ".onlinetraining.123.tmp" / "new"), "new")
    assert not recover(folder)
    assert not list(folder.path.glob(".*"))
    assert (tmp_path / "elsewhere" / "moves.json").exists()


def test_files_that_an_earlier_version_moved_aside_are_not_removed(folder, caplog):
    aside = ExperimentFolder(folder.path / ".onlinetraining.123.tmp" / "old")
    fill(aside, "old")
    recover(folder)
    assert aside.best_model.exists()
    assert "moved aside" in caplog.text


def test_another_file_system_is_told_before_any_work(folder):
    here = folder.path.stat().st_dev
    others = [path for path in map(Path, ("/proc", "/dev")) if path.is_dir() and path.stat().st_dev != here]
    if not others:
        pytest.skip("there is one file system only")
    shutil.rmtree(folder.backup)
    folder.backup.symlink_to(others[0])
    with pytest.raises(ExperimentError, match="another file system"), staged_experiment(folder):
        pytest.fail("the work began")
    assert not folder.staging.exists()


def test_a_link_is_moved_not_what_it_leads_to(folder, tmp_path):
    shutil.move(folder.tfrecords, tmp_path / "fast")
    folder.tfrecords.symlink_to(tmp_path / "fast")
    with staged_experiment(folder) as staging:
        fill(staging, "new")
    assert (folder.backup / "4" / "TF_records").readlink() == tmp_path / "fast"
    assert not folder.tfrecords.is_symlink()
    assert files(tmp_path / "fast") == {"schema.json": "old"}


def test_staging_is_whole_on_disk_before_anything_is_renamed(folder, monkeypatch):
    order = []
    monkeypatch.setattr("discern.online_learning.journal.sync_tree", lambda path: order.append(path))
    monkeypatch.setattr("discern.online_learning.journal.write_json", lambda path, content: order.append(path))
    monkeypatch.setattr(Journal, "finish", lambda self, of: (order.append("renames"), of.journal.touch()))
    with module.staged_experiment(folder) as staging:
        fill(staging, "new")
    assert order == [folder.staging, folder.journal, "renames"]
