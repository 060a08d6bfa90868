"""An experiment as one zip file that is safe to open: known names only, every byte checked, nothing is executed.

``manifest.json`` tells the format, the experiment's name and of every other member its size and SHA-256. An archive is
unpacked only where all of it fits: members and manifest name the same files, from a closed set of names.
"""

import hashlib
import json
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import EINVAL
from pathlib import Path
from typing import IO

from discern.config_section import validate_section
from discern.errors import DataError, DiscernError, ExperimentError, ParametersError
from discern.io.archive_manifest import FORMAT, ArchivedFile, Manifest, folder_name, is_known
from discern.io.experiment_folder import ExperimentFolder
from discern.io.json_files import read_json
from discern.io.whole_files import replacing_file

_MANIFEST = "manifest.json"
_STORED_AS_IS = {".h5ad", ".hdf5"}  # the first is compressed, random weights are not compressible
_LARGEST_RATIO, _LARGEST_MANIFEST, _PART = 200, 2**26, 2**20
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    ArithmeticError,
    MemoryError,
)


def files_to_keep(folder: ExperimentFolder) -> dict[str, Path]:
    """Return the files of an experiment that an archive can hold, by their names there."""
    found = {path.relative_to(folder.path).as_posix(): path for path in sorted(folder.path.glob("*/*"))}
    found[folder.parameters_file.name] = folder.parameters_file
    return {name: path for name, path in found.items() if is_known(name) and path.is_file()}


def write_archive(path: Path, name: str, files: Mapping[str, Path], *, with_cells: bool) -> Manifest:
    """Write an archive, which appears whole or not at all; the same files give the same bytes.

    Args:
        path: The zip file; one that is there is replaced.
        name: Of the experiment.
        files: What it holds, by name.
        with_cells: Recorded as such.

    Raises:
        ExperimentError: The name cannot be that of a folder everywhere.
    """
    try:
        folder_name(name)
    except ValueError as error:
        raise ExperimentError(f"The experiment is called {name!r}, which {error}. Rename its folder.") from error
    with replacing_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        written = [_add(archive, one, files[one]) for one in sorted(files)]
        manifest = Manifest(name=name, with_cells=with_cells, files=written)
        archive.writestr(_member(_MANIFEST), json.dumps(manifest.model_dump(), indent=4, ensure_ascii=False))
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Return what an archive holds.

    Raises:
        DataError: It is damaged or not from this program.
    """
    with _opened(path) as archive:
        return _checked_manifest(archive, path)


def unpack(path: Path, folder: Path) -> Manifest:
    """Unpack an archive into an empty folder, no byte more than its manifest declares.

    Args:
        path: The archive.
        folder: An empty folder; when this fails it holds some of the files.

    Raises:
        DataError: The archive is damaged, hostile, or not from this program.
        ExperimentError: The disk has too little room.
    """
    with _opened(path) as archive:
        manifest = _checked_manifest(archive, path)
        needed, free = sum(one.size for one in manifest.files), shutil.disk_usage(folder).free
        if needed > free:
            raise ExperimentError(f"{path} needs {needed / 1e9:.1f} GB of disk, {folder} has {free / 1e9:.1f} GB.")
        for one in manifest.files:
            target = folder / one.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(one.name) as source, target.open("xb") as sink:
                digest = _copy(source, sink, one.size, path)
            if digest != one.sha256:
                raise DataError(f"{path} is damaged: the checksum of {one.name} is another.")
    return manifest


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # with the time of 1980: a date would make every archive another
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.compress_type = zipfile.ZIP_STORED if Path(name).suffix in _STORED_AS_IS else zipfile.ZIP_DEFLATED
    return info


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> ArchivedFile:
    info = _member(name)
    info.file_size = path.stat().st_size
    with path.open("rb") as source, archive.open(info, "w") as sink:
        digest = _copy(source, sink, info.file_size, path)
    return ArchivedFile(name=name, size=info.file_size, sha256=digest)


def _copy(source: IO[bytes], sink: IO[bytes], size: int, path: Path) -> str:
    """Copy what must be ``size`` bytes; return their SHA-256."""
    digest, left = hashlib.sha256(), size
    while part := source.read(min(_PART, left + 1)):
        left -= len(part)
        if left < 0:
            break
        digest.update(part)
        sink.write(part)
    if left:
        raise DataError(f"{path} is damaged: a file has another size than it should have ({size:,} bytes).")
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; whatever a damaged one makes zipfile raise becomes a DataError."""
    if not path.is_file():
        raise DataError(f"{path} does not exist or is no file. Give an archive that `discern export` wrote.")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DiscernError:
        raise
    except OSError as error:
        if error.errno != EINVAL:  # a place before the beginning of the file
            raise
        raise DataError(f"{path} is damaged: {error}.") from error
    except _DAMAGE as error:
        raise DataError(f"{path} is damaged or no archive of an experiment: {error}.") from error


def _checked_manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    """Return the manifest, when every member is as it says."""
    members = {one.filename: one for one in archive.infolist()}
    if len(members) < len(archive.infolist()) or _MANIFEST not in members:
        raise DataError(f"{path} is no archive of an experiment: it has no {_MANIFEST}, or names twice.")
    for one in members.values():
        _require_plain(one, path)
    manifest = _manifest(archive, members.pop(_MANIFEST), path)
    declared = {one.name: one.size for one in manifest.files}
    found = {name: one.file_size for name, one in members.items()}
    if declared != found:
        wrong = sorted(name for name in {*declared, *found} if declared.get(name) != found.get(name))
        raise DataError(f"{path} does not hold what its {_MANIFEST} says: {', '.join(map(repr, wrong[:3]))}.")
    return manifest


def _require_plain(member: zipfile.ZipInfo, path: Path) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    plain = kind in (0, stat.S_IFREG) and not member.flag_bits & 1 and member.orig_filename == member.filename
    if not plain or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}: {member.filename!r} is a link, encrypted or packed in a way that is not accepted.")
    if member.file_size > _LARGEST_RATIO * member.compress_size + _PART:
        raise DataError(f"{path}: {member.filename!r} would grow more than {_LARGEST_RATIO}-fold; no experiment does.")


def _manifest(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Manifest:
    if member.file_size > _LARGEST_MANIFEST:
        raise DataError(f"{path} is no archive of an experiment: its {_MANIFEST} is too large.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / _MANIFEST
        with archive.open(member) as source, file.open("xb") as sink:
            _copy(source, sink, member.file_size, path)
        try:
            content = read_json(file)
            if content.get("format") == FORMAT and content.get("version") != 1:
                raise DataError(f"{path} is of version {content.get('version')!r}; this program reads version 1.")
            return validate_section(Manifest, content, source=_MANIFEST)
        except ParametersError as error:
            raise DataError(f"{path} is damaged or no archive of an experiment: {error}") from error
