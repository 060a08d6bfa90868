"""One process at a time works on an experiment."""

import errno
import fcntl
import os
import socket
import subprocess
import sys

import pytest

from discern.errors import ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.experiment_lock import experiment_lock

HOLDER = """
import sys, time
from pathlib import Path
from discern.io.experiment_folder import ExperimentFolder
from discern.io.experiment_lock import experiment_lock
with experiment_lock(ExperimentFolder(Path(sys.argv[1])), "train"):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def folder(tmp_path):
    return ExperimentFolder(tmp_path / "group" / "run")


@pytest.fixture
def holder(folder):
    """Another process that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder.path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


def test_a_second_process_is_refused_until_the_first_is_dead(folder, holder):
    name = rf"discern train.*process {holder.pid} on {socket.gethostname()}.*is working on .*run\. Wait"
    with pytest.raises(ExperimentError, match=name), experiment_lock(folder, "project"):
        pass
    assert folder.lock.exists()
    holder.kill()
    holder.wait()
    with experiment_lock(folder, "project"):
        assert f'"pid": {os.getpid()}' in folder.lock.read_text()
    assert not folder.lock.exists()


def test_the_second_of_one_process_is_refused_too(folder):
    with experiment_lock(folder, "train"):
        with pytest.raises(ExperimentError, match="discern train"), experiment_lock(folder, "train"):
            pass
        with pytest.raises(ExperimentError, match="discern train"), experiment_lock(folder, "train"):
            pass  # the refused one has not taken the lock of the first away


def test_others_are_free(folder, tmp_path):
    with experiment_lock(folder, "train"), experiment_lock(ExperimentFolder(tmp_path / "group" / "other"), "train"):
        assert folder.lock.exists()


def test_a_new_folder_stays_only_when_something_is_in_it(folder, tmp_path):
    with experiment_lock(folder, "train"):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError), experiment_lock(folder, "train"):
        folder.job.mkdir()
        raise RuntimeError
    assert [path.name for path in folder.path.iterdir()] == ["job"]


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_again(folder, monkeypatch):
    """The holder ends, and removes the file, between our opening and our locking."""
    flock, opened = fcntl.flock, []

    def late(stream, operation):
        if not opened:
            folder.lock.unlink()
        opened.append(stream)
        flock(stream, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with experiment_lock(folder, "train"):
        assert len(opened) == 2
        assert os.path.samestat(os.fstat(opened[1].fileno()), folder.lock.stat())


def test_an_unfinished_name_of_the_holder_does_not_matter(folder):
    with experiment_lock(folder, "train"):
        folder.lock.write_text('{"verb": "tr')
        with pytest.raises(ExperimentError, match="Another process is working"), experiment_lock(folder, "train"):
            pass


def test_a_file_system_without_locks_is_a_warning(folder, monkeypatch, caplog):
    def no_locks(stream, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with experiment_lock(folder, "train"):
        assert "has no locks (No locks available)" in caplog.text


def test_other_faults_are_told(folder, monkeypatch):
    def broken(stream, operation):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"), experiment_lock(folder, "train"):
        pass
