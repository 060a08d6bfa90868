import errno
import json
import os
import subprocess
import sys
from contextlib import nullcontext

import pytest

from discern.io.whole_files import (
    replacing_file,
    replacing_folder,
    size_in_words,
    sync_folder,
    sync_tree,
    write_json,
    write_text,
)


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replacing_file(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.suffix == ".txt"  # some writers choose their format by it
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [None, "old"])
def test_an_interrupted_file_changes_nothing(tmp_path, error, old):
    path = tmp_path / "file.txt"
    if old is not None:
        path.write_text(old)
    with pytest.raises(error), replacing_file(path) as temporary:
        temporary.write_text("half")
        raise error
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == ({} if old is None else {"file.txt": old})


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing_file(tmp_path / "file.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "folder"
    for name in ("first", "second"):
        with replacing_folder(path) as temporary:
            (temporary / name).write_text(name)
    assert [one.name for one in path.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_interrupted_folder_changes_nothing(tmp_path, error):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(error), replacing_folder(path) as temporary:
        (temporary / "new").write_text("half")
        raise error
    assert [one.name for one in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("old")
    rename = type(path).rename

    def failing(self, target):
        if self.name.endswith(".tmp"):
            raise OSError("no permission")
        return rename(self, target)

    monkeypatch.setattr(type(path), "rename", failing)
    with pytest.raises(OSError, match="no permission"), replacing_folder(path) as temporary:
        (temporary / "new").write_text("new")
    assert [one.name for one in path.iterdir()] == ["old"]


def test_text_and_json_keep_order_and_characters(tmp_path):
    write_text(tmp_path / "text", "früh\n")
    assert (tmp_path / "text").read_text(encoding="utf-8") == "früh\n"
    write_json(tmp_path / "a.json", {"b": 1, "a": "β"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert list(json.loads(text).items()) == [("b", 1), ("a", "β")]
    assert "β" in text
    assert text.endswith("}\n")


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}


@pytest.fixture
def dead():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_files_of_killed_runs_are_removed(tmp_path, dead):
    (tmp_path / f".file.{dead}.tmp.txt").write_text("half")
    others = {f".file.{os.getppid()}.tmp.txt", f".other.{dead}.tmp.txt", f".file.{dead}.tmp.json", "xfile.1.tmp.txt"}
    for name in others:
        (tmp_path / name).write_text("not ours")
    write_text(tmp_path / "file.txt", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {*others, "file.txt"}


@pytest.mark.parametrize("before", ["there", "moved aside"])
def test_folders_of_killed_runs_are_removed(tmp_path, dead, before):
    path = tmp_path / "folder.v1"
    (tmp_path / f".folder.v1.{dead}.tmp").mkdir()
    (tmp_path / f".folder.v1.{dead}.tmp" / "half").write_text("half")
    (tmp_path / f".folder.v1.{dead}.old").mkdir()
    if before == "there":
        path.mkdir()
    with replacing_folder(path) as temporary:
        assert path.is_dir()  # never lost, not even before the new one is whole
        (temporary / "new").write_text("new")
    assert [one.name for one in tmp_path.iterdir()] == ["folder.v1"]
    assert [one.name for one in path.iterdir()] == ["new"]


def test_a_temporary_folder_is_not_replaced_by_another(tmp_path):
    with replacing_folder(tmp_path / "folder") as outer:
        with replacing_folder(outer) as inner:
            assert inner == outer
            (inner / "file").write_text("whole")
        assert [path.name for path in tmp_path.iterdir()] == [outer.name]
    assert (tmp_path / "folder" / "file").read_text() == "whole"


def test_a_tree_is_synced_with_all_its_files_and_folders(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_text("x")
    (tmp_path / "file").write_text("x")
    synced = set()
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    sync_tree(tmp_path)
    assert synced == {path.stat().st_ino for path in (tmp_path, *tmp_path.rglob("*"))}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_only_file_systems_that_cannot_sync_folders_are_excused(tmp_path, monkeypatch, number):
    def failing(descriptor):
        raise OSError(number, "no")

    monkeypatch.setattr("os.fsync", failing)
    with pytest.raises(OSError, match="no") if number == errno.EIO else nullcontext():
        sync_folder(tmp_path)


def test_sizes_in_words(tmp_path):
    for name, n_bytes in (("a", 1_500_000_000), ("b", 700_000), ("inner/c", 1)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(n_bytes)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert size_in_words(tmp_path / "b") == "0.7 MB"
    assert size_in_words(tmp_path / "inner") == "0.1 MB"
    assert size_in_words(tmp_path) == "1.5 GB"
