import hashlib
import json
import shutil
import stat
import struct
import zipfile

import numpy as np
import pytest

from discern.errors import DataError, ExperimentError
from discern.io import experiment_archive as module
from discern.io.experiment_archive import files_to_keep, read_manifest, unpack, write_archive
from discern.io.experiment_folder import ExperimentFolder

FILES = {
    "parameters.json": b"{}",
    "processed_data/concatenated_data.h5ad": bytes(range(256)) * 3,
    "TF_records/schema.json": b"[]",
    "TF_records/training-00000.tfrecords": b"\0" * 3000,
    "TF_records/validate.tfrecords_v2": b"",
    "job/best_model.hdf5": b"weights",
    "job/last_state.hdf5": b"state",
    "job/history.csv": b"epoch\n",
}
OTHERS = (
    "provenance.json",
    "job/mine.txt",
    "projected/a.h5ad",
    "backup/1/job/best_model.hdf5",
    "TF_records/x.tfrecords",
)


def files(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def listed(content: dict[str, bytes]) -> list[dict]:
    return [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in content.items()
    ]


def manifest_of(content: dict[str, bytes], **changes) -> bytes:
    told = {"format": "discern-experiment", "version": 1, "program_version": "1", "name": "run", "with_cells": True}
    return json.dumps(told | {"files": listed(content)} | changes).encode()


def zipped(path, members: list[tuple[zipfile.ZipInfo | str, bytes]], compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.fixture
def folder(tmp_path):
    made = ExperimentFolder(tmp_path / "run")
    for name, content in {**FILES, **dict.fromkeys(OTHERS, b"not exported")}.items():
        path = made.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return made


@pytest.fixture
def archive(folder, tmp_path):
    path = tmp_path / "run.zip"
    write_archive(path, "run", files_to_keep(folder), with_cells=True)
    return path


@pytest.fixture
def into(tmp_path):
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def test_files_come_back_as_they_were(archive, into):
    manifest = unpack(archive, into)
    assert files(into) == FILES
    assert manifest == read_manifest(archive)
    assert (manifest.name, manifest.with_cells) == ("run", True)
    assert [one.model_dump() for one in manifest.files] == sorted(listed(FILES), key=lambda one: one["name"])


def test_the_same_files_give_the_same_bytes(archive, folder, tmp_path):
    for name in FILES:
        (folder.path / name).touch()
    again = tmp_path / "again.zip"
    write_archive(again, "run", files_to_keep(folder), with_cells=True)
    assert again.read_bytes() == archive.read_bytes()


def test_other_programs_can_read_it(archive):
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        assert set(opened.namelist()) == {*FILES, "manifest.json"}


@pytest.mark.parametrize("name", ["", "a\\b", "C:a", "a\n"])
def test_a_name_that_is_no_folder_elsewhere_is_told(folder, tmp_path, name):
    with pytest.raises(ExperimentError, match="Rename its folder"):
        write_archive(tmp_path / "a.zip", name, files_to_keep(folder), with_cells=True)


def test_an_export_that_fails_leaves_the_earlier_one(archive, folder, monkeypatch):
    before = archive.read_bytes()
    monkeypatch.setattr(module, "_copy", lambda *args: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_archive(archive, "run", files_to_keep(folder), with_cells=True)
    assert archive.read_bytes() == before
    assert sorted(path.name for path in archive.parent.iterdir()) == ["run", "run.zip"]


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/etc/evil",
        "job/../../evil",
        "job\\best_model.hdf5",
        "C:evil",
        "job/",
        "job/evil.py",
        "provenance.json",
        "TF_records/training-1.tfrecords/..",
        "parameters.json\n",
        "Job/best_model.hdf5",
    ],
)
def test_other_names_are_refused(tmp_path, into, name):
    content = FILES | {name: b"evil"}
    with pytest.raises(DataError):
        unpack(zipped(tmp_path / "a.zip", [*content.items(), ("manifest.json", manifest_of(content))]), into)
    with pytest.raises(DataError):  # also when the manifest does not tell it
        unpack(zipped(tmp_path / "a.zip", [*content.items(), ("manifest.json", manifest_of(FILES))]), into)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\\b", "C:a", "a\0", "a\n", "x" * 300, " "])
def test_other_names_of_experiments_are_refused(tmp_path, name):
    members = [*FILES.items(), ("manifest.json", manifest_of(FILES, name=name))]
    with pytest.raises(DataError, match="name"):
        read_manifest(zipped(tmp_path / "a.zip", members))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"version": 2},
        {"version": "1"},
        {"more": 1},
        {"with_cells": "yes"},
        {"files": []},
        {"files": listed({"parameters.json": b""})},
        {"files": [*listed(FILES), *listed({"job/history.csv": b"epoch\n"})]},
        {"files": [*listed(FILES)[1:], {"name": "parameters.json", "size": -1, "sha256": "0" * 64}]},
        {"files": [*listed(FILES)[1:], {"name": "parameters.json", "size": 2, "sha256": "0" * 63}]},
        {"files": [*listed(FILES)[1:], {"name": "parameters.json", "size": 2, "sha256": "0" * 64 + "\n"}]},
        {"files": [*listed(FILES)[1:], {"name": "parameters.json", "size": 2, "sha256": "0" * 64}]},
        {"files": [*listed(FILES)[1:], {"name": "parameters.json", "size": 1, "sha256": "0" * 64}]},
        {"files": [*listed(FILES)[1:], {"name": "parameters.json", "size": 10**15, "sha256": "0" * 64}]},
        {"files": "x"},
    ],
)
def test_manifests_that_do_not_fit_are_refused(tmp_path, into, changes):
    members = [*FILES.items(), ("manifest.json", manifest_of(FILES, **changes))]
    with pytest.raises(DataError):
        unpack(zipped(tmp_path / "a.zip", members), into)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_manifest_is_refused(tmp_path, content):
    with pytest.raises(DataError):
        read_manifest(zipped(tmp_path / "a.zip", [*FILES.items(), ("manifest.json", content)]))


def test_without_a_manifest_it_is_no_archive(tmp_path):
    with pytest.raises(DataError, match="no archive of an experiment"):
        read_manifest(zipped(tmp_path / "a.zip", list(FILES.items())))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["manifest.json", "parameters.json"])
def test_a_name_given_twice_is_refused(tmp_path, name):
    members = [*FILES.items(), ("manifest.json", manifest_of(FILES)), (name, b"{}")]
    with pytest.raises(DataError, match="twice"):
        read_manifest(zipped(tmp_path / "a.zip", members))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path, kind):
    link = zipfile.ZipInfo("job/history.csv")
    link.external_attr = (kind | 0o777) << 16
    content = {name: data for name, data in FILES.items() if name != link.filename}
    members = [*content.items(), (link, b"/etc/passwd"), ("manifest.json", manifest_of(FILES))]
    with pytest.raises(DataError, match="is a link"):
        read_manifest(zipped(tmp_path / "a.zip", members))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path, compression):
    members = [*FILES.items(), ("manifest.json", manifest_of(FILES))]
    with pytest.raises(DataError, match="packed in a way"):
        read_manifest(zipped(tmp_path / "a.zip", members, compression))


def test_encrypted_members_are_refused(archive, into):
    content = bytearray(archive.read_bytes())
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.index(mark) + place
        content[at] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        unpack(archive, into)


def test_bombs_are_refused(tmp_path, into):
    bomb = FILES | {"job/history.csv": bytes(20_000_000)}
    path = zipped(tmp_path / "a.zip", [*bomb.items(), ("manifest.json", manifest_of(bomb))])
    assert path.stat().st_size < 30_000
    with pytest.raises(DataError, match="200-fold"):
        unpack(path, into)
    large = zipped(tmp_path / "b.zip", [*FILES.items(), ("manifest.json", bytes(2**26 + 1))], zipfile.ZIP_STORED)
    with pytest.raises(DataError, match="too large"):
        unpack(large, into)
    assert list(into.iterdir()) == []


def test_no_byte_more_than_declared_is_written(archive, into):
    """The directory of the zip says 3 bytes, what follows is longer."""
    content = archive.read_bytes()
    names = [b"job/history.csv", b"job/last_state.hdf5"]
    for name in names:
        at = content.rindex(name) - 46
        size = struct.unpack_from("<I", content, at + 24)[0]
        content = content[: at + 24] + struct.pack("<I", size - 3) + content[at + 28 :]
    archive.write_bytes(content)
    with pytest.raises(DataError):
        unpack(archive, into)


def test_too_little_room_is_told_before_anything_is_written(archive, into, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(ExperimentError, match="of disk"):
        unpack(archive, into)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("kind", ["flipped", "cut", "longer", "swapped"])
def test_damage_is_a_known_error_or_changes_no_file(archive, into, kind):
    rng, whole, refused = np.random.default_rng(5), archive.read_bytes(), 0
    for number in range(150):
        content = bytearray(whole)
        place = int(rng.integers(len(content)))
        if kind == "flipped":
            content[place] ^= 1 << int(rng.integers(8))
        elif kind == "cut":
            del content[place:]
        elif kind == "longer":
            content[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 50)), dtype=np.uint8))
        else:
            other = int(rng.integers(len(content)))
            content[place : place + 30], content[other : other + 30] = (
                content[other : other + 30],
                content[place : place + 30],
            )
        archive.write_bytes(content)
        (into / str(number)).mkdir()
        try:
            unpack(archive, into / str(number))
        except (DataError, ExperimentError) as error:
            refused += 1
            assert str(archive) in str(error)
        else:
            assert files(into / str(number)) == FILES
    assert refused > 100


@pytest.mark.parametrize("content", [None, b"", b"PK", b"no zip at all" * 100])
def test_what_is_no_zip_is_told(tmp_path, content):
    path = tmp_path / "a.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip"):
        read_manifest(path)
    with pytest.raises(DataError, match="is no file"):
        read_manifest(tmp_path)
