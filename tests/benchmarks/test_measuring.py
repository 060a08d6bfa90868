import os
import subprocess
import sys

import psutil
import pytest

from benchmarks.measuring import CommandFailedError, folder_bytes, machine, measure, tree_bytes

MB = 10**6
PARENT_AND_CHILD = """
import subprocess, sys, time
held = bytearray(b"x") * 150_000_000
subprocess.run([sys.executable, "-c", "import time; held = bytearray(b'x') * 100_000_000; time.sleep(0.6)"], check=True)
"""
FILES = """
import os, sys, tempfile, time
from pathlib import Path
folder = Path(sys.argv[1])
(folder / "left").write_bytes(os.urandom(2_000_000))
with tempfile.NamedTemporaryFile() as file:
    file.write(os.urandom(6_000_000)); file.flush()
    time.sleep(2.2)
"""


@pytest.fixture
def measured(tmp_path):
    def run(code, *arguments):
        folder = tmp_path / "written"
        folder.mkdir(exist_ok=True)
        return measure([sys.executable, "-c", code, *arguments], folder, tmp_path / "log")

    return run


def test_memory_of_parent_and_child_is_added(measured):
    result = measured(PARENT_AND_CHILD)
    assert 250 * MB <= result.peak_bytes < 330 * MB
    assert 150 * MB <= result.largest_process_bytes < 200 * MB


def test_a_peak_too_short_for_the_samples_counts(measured):
    result = measured("held = bytearray(b'x') * 200_000_000; del held; import time; time.sleep(0.5)")
    assert result.peak_bytes >= result.largest_process_bytes >= 200 * MB


def test_memory_of_the_measuring_process_does_not_count(measured):
    held = bytearray(b"x") * (300 * MB)
    result = measured("import time; time.sleep(0.3)")
    assert len(held) > 100 * MB > result.largest_process_bytes


def test_time_is_wall_time_and_time_on_processors(measured):
    sleeping = measured("import time; time.sleep(0.5)")
    assert 0.5 <= sleeping.seconds < 5
    assert sleeping.cpu_seconds < 0.4
    busy = measured("import time\nwhile time.process_time() < 0.5: pass")
    assert busy.cpu_seconds >= 0.5
    assert busy.seconds >= busy.cpu_seconds * 0.9


def test_disk_counts_what_is_left_and_temporary_files_meanwhile(measured, tmp_path):
    folder = tmp_path / "written"
    folder.mkdir()
    (folder / "earlier").write_bytes(os.urandom(5 * MB))
    result = measured(FILES, str(folder))
    assert 2 * MB <= result.disk_left_bytes < 2.1 * MB
    assert 8 * MB <= result.disk_peak_bytes < 8.2 * MB
    assert {path.name for path in folder.iterdir()} == {"earlier", "left"}


def test_a_failing_command_is_an_error_that_shows_the_log(measured):
    with pytest.raises(CommandFailedError, match=r"ended with 3(.|\n)*what went wrong"):
        measured("import sys; print('what went wrong'); sys.exit(3)")


def test_a_killed_command_is_an_error(measured):
    with pytest.raises(CommandFailedError, match="ended with -9"):
        measured("import os; os.kill(os.getpid(), 9)")


def test_an_interrupted_measurement_ends_the_command(tmp_path, monkeypatch):
    def interrupted(pid, _):
        raise KeyboardInterrupt(pid)

    monkeypatch.setattr(os, "wait4", interrupted)
    with pytest.raises(KeyboardInterrupt) as raised:
        measure([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "written", tmp_path / "log")
    assert not psutil.pid_exists(raised.value.args[0])


def test_a_process_that_has_ended_holds_nothing():
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        watched = psutil.Process(process.pid)
    assert tree_bytes(watched) == (0, 0)


def test_folders_within_a_folder_count(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(os.urandom(100_000))
    assert 100_000 <= folder_bytes(tmp_path) < 110_000


def test_the_machine_is_described():
    described = machine()
    assert {"processor", "cores", "memory", "system", "Python", "tensorflow"} <= set(described)
    assert all(described.values())
