"""Files appear whole or not at all: write beside the target, flush, rename."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

_NOT_FOR_FOLDERS = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES}


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Give a temporary name in the folder of ``path``; when the block succeeds it becomes ``path``.

    When the block raises, the temporary file is removed and ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in _of_dead_processes(path.parent, path.stem, f".tmp{path.suffix}"):
        leftover.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside ``path``; when the block succeeds it takes the place of ``path``.

    When anything fails, ``path`` is as it was. A link is replaced like a folder; what it leads to stays as it is. A
    ``path`` that is such a temporary folder itself is given as it is.
    """
    if path.is_dir() and path.name.startswith(".") and path.name.endswith(f".{os.getpid()}.tmp"):
        yield path  # one of its own beside it would be left behind by a kill
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    outdated = path.with_name(f".{path.name}.{os.getpid()}.old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _clear_up_folders(path)
    try:
        yield temporary
        if path.exists():
            path.rename(outdated)
        temporary.rename(path)
    finally:
        if outdated.exists() and not path.exists():
            outdated.rename(path)
        shutil.rmtree(temporary, ignore_errors=True)
        remove_folder(outdated)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Give an empty hidden folder beside ``path``, which is removed with all it holds when the block ends.

    What killed runs left of theirs is removed first. Parent folders made for it go too when they stay empty.
    """
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in made:
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file another name, as a hard link where the file system has them; ``target`` must not exist."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary folders beside ``path`` that killed runs left; see :func:`temporary_folder`."""
    for leftover in _of_dead_processes(path.parent, path.name, ".tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder if it can be removed; of a link only the link."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Wait until names that were made, changed or removed in a folder outlast a loss of power, where that can be had."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Wait until a folder and all it holds outlast a loss of power."""
    for folder, _, names in os.walk(path):
        for name in names:
            with (Path(folder) / name).open("rb") as stream:
                os.fsync(stream.fileno())
        sync_folder(Path(folder))


def size_in_words(path: Path) -> str:
    """Return how much a file or folder holds, e.g. ``1.2 GB``."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file() and not one.is_symlink()]
    n_bytes = sum(one.stat().st_size for one in files)
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{max(n_bytes / 1e6, 0.1):.1f} MB"


def _clear_up_folders(path: Path) -> None:
    """Remove what killed runs left of ``path``; a folder that one had moved aside comes back when there is no other."""
    for moved in _of_dead_processes(path.parent, path.name, ".old"):
        if path.exists():
            remove_folder(moved)
        else:
            moved.rename(path)
    for leftover in _of_dead_processes(path.parent, path.name, ".tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def _of_dead_processes(folder: Path, name: str, ending: str) -> list[Path]:
    """Return the temporary siblings ``.name.PID<ending>`` whose process no longer lives."""
    pattern = re.compile(rf"\.{re.escape(name)}\.(\d{{1,9}}){re.escape(ending)}")
    found = [(path, pattern.fullmatch(path.name)) for path in folder.iterdir()]
    return [path for path, match in found if match and not psutil.pid_exists(int(match[1]))]


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 text file."""
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a whole JSON file, indented, keys in the given order."""
    write_text(path, json.dumps(content, indent=4, ensure_ascii=False) + "\n")
