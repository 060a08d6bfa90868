"""Size, time and SHA-256 of files and folders; a thread reads them while other work goes on."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from types import TracebackType
from typing import Any, Self

_PIECE_BYTES = 2**20
_MOST_FILES = 10_000


def file_sha256(path: Path, stop: Event | None = None) -> str | None:
    """Return the SHA-256 of a file as sha256sum prints it, reading a piece at a time; None once ``stop`` is set."""
    digest, piece = hashlib.sha256(), bytearray(_PIECE_BYTES)
    with path.open("rb", buffering=0) as stream:
        while read := stream.readinto(piece):
            if stop is not None and stop.is_set():
                return None
            digest.update(memoryview(piece)[:read])
    return digest.hexdigest()


class FileDigests:
    """Descriptions of files, hashed by a thread.

    Use as a context manager around the work that reads the files; leaving it stops the thread.
    """

    def __init__(self, paths: Iterable[Path], known: Sequence[Mapping[str, Any]] = ()):
        """Look at the files; those that are absent, or folders of too many files, are left out.

        Args:
            paths: Files, or folders: the digest of a folder is that of the lines "name, two spaces, SHA-256, newline" of
                the files in it, sorted by name.
            known: Earlier descriptions; files of the same path, size and time are not read again.
        """
        self.descriptions: list[dict[str, Any]] = []
        for path in paths:
            with suppress(OSError):  # whoever needs it tells so
                self.descriptions.append(_description(path))
        self.seconds = 0.0
        self._known = {_identity(one): one["sha256"] for one in known}
        self._stop = Event()
        self._thread = Thread(target=self._read_all, name="digests", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self) -> list[dict[str, Any]]:
        """Return the descriptions when all files are read."""
        self._thread.join()
        return self.descriptions

    def _read_all(self) -> None:
        start = perf_counter()
        for one in self.descriptions:
            path = Path(one["path"])
            with suppress(OSError):
                digest = self._known.get(_identity(one)) or _path_sha256(path, self._stop)
                if _identity(_description(path)) == _identity(one):  # else it is not what the work began with
                    one["sha256"] = digest
        self.seconds = perf_counter() - start


def _description(path: Path) -> dict[str, Any]:
    """Return where a file or folder is, how many bytes it has and when it was last changed; it is not read."""
    states = [one.stat() for one in _files(path)]
    changed = max((state.st_mtime for state in states), default=path.stat().st_mtime)
    return {
        "path": str(path.absolute()),
        "bytes": sum(state.st_size for state in states),
        "modified": datetime.fromtimestamp(changed, UTC).isoformat(timespec="microseconds"),
        "sha256": None,
    }


def _identity(description: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(description.get(key) for key in ("path", "bytes", "modified"))


def _path_sha256(path: Path, stop: Event) -> str | None:
    if path.is_file():
        return file_sha256(path, stop)
    digest = hashlib.sha256()
    for one in _files(path):
        of_file = file_sha256(one, stop)
        if of_file is None:
            return None
        digest.update(f"{one.relative_to(path).as_posix()}  {of_file}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = list(islice(path.rglob("*"), _MOST_FILES + 1))
    if len(found) > _MOST_FILES:
        raise OSError(f"{path} holds more than {_MOST_FILES} files")
    return sorted(one for one in found if one.is_file())
