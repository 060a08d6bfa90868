"""What provenance.json tells, also of failures, and that recording never stands in the way."""

import hashlib
import json
import os
import sys
import threading
from datetime import datetime

import pytest

from discern import __version__
from discern.errors import ExperimentError, ExperimentInUseError, StoppedBySignalError
from discern.io import file_digests
from discern.io.experiment_lock import experiment_lock
from discern.io.file_digests import FileDigests, file_sha256
from discern.io.provenance import append_step, command_line, peak_memory, plain, read_steps
from discern.workflows import provenance as recording
from discern.workflows.provenance import run_recorded
from discern.workflows.runner import DISCERNRunner


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def steps_of(one):
    return json.loads(one.folder.provenance.read_text())["steps"]


@pytest.fixture
def made(experiment):
    """An experiment whose folder exists."""
    one = experiment(lambda content: content["training"].update(seed=3))
    one.folder.path.mkdir(parents=True)
    return one


def test_processing_is_recorded(experiment, here):
    one = experiment(lambda content: content["input_ds"].update(split={"split_seed": 5}))
    before = datetime.now().astimezone()
    DISCERNRunner()("process", [one], with_tfrecords=False)
    (step,) = steps_of(one)
    assert (step["step"], step["outcome"], "error" in step) == ("process", "finished", False)
    assert step["seeds"] == {"input_ds.split.split_seed": 5}
    assert step["parameters"] == one.content
    assert step["arguments"] == {"with_tfrecords": False}
    assert step["result"]["n_cells"] == 80
    assert before <= datetime.fromisoformat(step["started"]) <= datetime.now().astimezone()
    assert 0 < step["wall_s"] < 60
    assert step["versions"]["discern"] == __version__
    assert step["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(step["versions"]) > {"tensorflow", "keras", "anndata", "numpy", "h5py"}
    assert step["device"]["cpus"] >= 1
    assert step["peak_memory_bytes"]["process"] > 50e6
    (source,) = step["inputs"]
    content = (here / "cells.h5ad").read_bytes()
    assert (source["path"], source["bytes"], source["sha256"]) == (
        str(here / "cells.h5ad"),
        len(content),
        sha256(content),
    )


def test_every_step_is_added(made):
    assert run_recorded("train", made, lambda one, epochs: epochs + 1, {"epochs": 2}) == 3
    run_recorded("project", made, lambda one: [made.folder.projected / "x.h5ad"], {})
    first, second = steps_of(made)
    assert (first["step"], first["arguments"], first["result"]) == ("train", {"epochs": 2}, 3)
    assert first["seeds"] == {"training.seed": 3}
    assert (second["step"], second["result"]) == ("project", [str(made.folder.projected / "x.h5ad")])


@pytest.mark.parametrize(
    ("error", "outcome", "told"),
    [
        (ExperimentError("no model"), "failed", "ExperimentError: no model"),
        (ZeroDivisionError(), "failed", "ZeroDivisionError"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (StoppedBySignalError("SIGTERM"), "interrupted", "StoppedBySignalError: SIGTERM"),
    ],
)
def test_failures_are_recorded_and_raised(made, error, outcome, told):
    def fail(one):
        raise error

    with pytest.raises(type(error)) as raised:
        run_recorded("train", made, fail, {})
    assert raised.value is error
    (step,) = steps_of(made)
    assert (step["outcome"], step["error"]) == (outcome, told)
    assert step["wall_s"] is not None


def test_a_refused_second_process_writes_nothing(made):
    with experiment_lock(made.folder, "train"), pytest.raises(ExperimentInUseError, match="is working on"):
        DISCERNRunner()("process", [made])
    assert not made.folder.provenance.exists()


def test_a_failure_makes_no_folder(experiment):
    one = experiment()
    with pytest.raises(ExperimentError):
        DISCERNRunner()("project", [one])
    assert not one.folder.path.exists()


def test_a_damaged_record_is_kept_aside(made, caplog):
    made.folder.provenance.write_text('{"steps": [')
    run_recorded("train", made, lambda one: None, {})
    assert "provenance.damaged.json" in caplog.text
    assert (made.folder.path / "provenance.damaged.json").read_text() == '{"steps": ['
    assert len(steps_of(made)) == 1


@pytest.mark.parametrize("content", ['{"steps": 3}', '{"steps": [3]}', "[]", "{}", "\0"])
def test_what_is_no_record_has_no_steps(tmp_path, content):
    (tmp_path / "provenance.json").write_text(content)
    assert read_steps(tmp_path / "provenance.json") is None


def test_hostile_records_do_not_stop_the_work(made):
    earlier = {"started": 5, "inputs": [3, {"sha256": "x"}, {"sha256": "x", "modified": 3, "path": []}]}
    append_step(
        made.folder.provenance, {"started": "9", "inputs": [{"sha256": "x", "modified": "1", "path": "y"}, None]}
    )
    append_step(made.folder.provenance, earlier)
    append_step(made.folder.provenance, {"started": "9", "inputs": 5})
    assert run_recorded("train", made, lambda one: 7, {}) == 7
    assert len(steps_of(made)) == 4


def test_a_record_that_cannot_be_written_is_a_warning(made, monkeypatch, caplog):
    def full(path, entry):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recording, "append_step", full)
    assert run_recorded("train", made, lambda one: 5, {}) == 5
    assert "No space left" in caplog.text


def test_inputs_of_each_step(made, here):
    folder = made.folder
    for path in (folder.processed_file, folder.best_model, folder.last_state, here / "other.h5ad"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    folder.tfrecords.mkdir()
    own, other = folder.processed_file, here / "other.h5ad"
    for step, arguments, expected in (
        ("process", {}, [here / "cells.h5ad"]),
        ("train", {}, [own, folder.tfrecords, folder.last_state]),
        ("project", {}, [folder.best_model, own]),
        ("project", {"filename": other}, [folder.best_model, other]),
        ("onlinetraining", {"filename": other}, [folder.best_model, own, other]),
        ("onlinetraining", {"filename": {other: None, own: "sample"}}, [folder.best_model, own, other, own]),
        ("undo", {}, []),
    ):
        run_recorded(step, made, lambda one, **_: None, arguments)
        found = [one["path"] for one in steps_of(made)[-1]["inputs"]]
        assert found == [str(path.absolute()) for path in expected]


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 3])
def test_files_are_hashed_in_pieces(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == sha256(content)


def test_a_folder_is_hashed_by_name_and_content(tmp_path):
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    (tmp_path / "in" / "b.txt").write_bytes(b"bb")
    (tmp_path / "in" / "deeper" / "a.txt").write_bytes(b"a")
    with FileDigests([tmp_path / "in", tmp_path / "absent"]) as digests:
        (found,) = digests.wait()
    listing = f"b.txt  {sha256(b'bb')}\ndeeper/a.txt  {sha256(b'a')}\n"
    assert (found["bytes"], found["sha256"]) == (3, sha256(listing.encode()))


def test_files_are_hashed_once(made, here, monkeypatch):
    read = []
    monkeypatch.setattr(file_digests, "file_sha256", lambda path, stop: read.append(path.name) or "0" * 64)
    for _ in range(2):
        run_recorded("process", made, lambda one: None, {})
    assert read == ["cells.h5ad"]
    os.utime(here / "cells.h5ad", (1e9, 1e9))
    run_recorded("process", made, lambda one: None, {})
    assert read == ["cells.h5ad"] * 2


def test_a_file_that_changes_meanwhile_has_no_digest(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("before")

    def change(path, stop):
        path.write_text("afterwards")
        return "0" * 64

    monkeypatch.setattr(file_digests, "file_sha256", change)
    with FileDigests([path]) as digests:
        (found,) = digests.wait()
    assert (found["bytes"], found["sha256"]) == (6, None)


def test_a_failure_does_not_wait_for_digests(made, monkeypatch):
    begun = threading.Event()

    def until_stopped(path, stop):
        begun.set()
        assert stop.wait(30)

    def fail(one):
        assert begun.wait(30)
        raise ExperimentError("no")

    monkeypatch.setattr(file_digests, "file_sha256", until_stopped)
    with pytest.raises(ExperimentError):
        run_recorded("process", made, fail, {})
    (step,) = steps_of(made)
    assert step["inputs"][0]["sha256"] is None
    assert step["wall_s"] < 10


def test_a_stopped_digest_is_none(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    stop = threading.Event()
    stop.set()
    assert file_sha256(tmp_path / "file", stop) is None


def test_values_json_has_no_word_for(tmp_path):
    values = {1: (float("nan"), tmp_path, 1.5, None, True), "one": {"two": float("inf")}}
    assert plain(values) == {"1": ["nan", str(tmp_path), 1.5, None, True], "one": {"two": "inf"}}
    json.dumps(plain(values), allow_nan=False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/lib/discern/__main__.py", "train", "a b.json"], "discern train 'a b.json'"),
        (["/bin/discern", "train"], "/bin/discern train"),
        (["__main__.py", "x"], "__main__.py x"),
    ],
)
def test_the_command_can_be_typed_again(monkeypatch, arguments, told):
    monkeypatch.setattr(sys, "argv", arguments)
    assert command_line() == told


def test_peak_memory_grows_with_what_is_held():
    before = peak_memory()["process"]
    held = bytearray(os.urandom(2**20)) * 128
    after = peak_memory()["process"]
    assert len(held) == 2**27
    assert after >= before
    assert after >= 2**27


def test_folders_of_too_many_files_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(file_digests, "_MOST_FILES", 2)
    for number in range(3):
        (tmp_path / str(number)).touch()
    with FileDigests([tmp_path, tmp_path / "0"]) as digests:
        assert [one["path"] for one in digests.wait()] == [str(tmp_path / "0")]
