"""Checksums of whole files, and a seal that HDF5 files carry behind their end.

HDF5 has no checksum for most of what it stores, and a damaged file can give wrong numbers silently. So a sealed file
ends in twenty bytes more: a mark, its length and the CRC-32C of all before. HDF5 ignores what follows its content and
cuts it off when the file is changed in place: whoever edits a file loses the seal and is not accused of damage.
"""

import struct
from pathlib import Path

import google_crc32c

# what h5py and anndata raise for damaged content that has no seal
UNREADABLE = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError)
_SEAL = struct.Struct("<8sQI")
_MARK = b"DISCERN\x1a"
_PART = 2**20


def file_checksum(path: Path, n_bytes: int | None = None) -> int:
    """Return the CRC-32C of the first ``n_bytes`` of a file, of all when None."""
    crc, left = 0, path.stat().st_size if n_bytes is None else n_bytes
    with path.open("rb") as stream:
        while left > 0 and (part := stream.read(min(_PART, left))):
            crc, left = google_crc32c.extend(crc, part), left - len(part)
    return crc


def seal(path: Path) -> None:
    """Write the checksum of a closed HDF5 file behind its content."""
    n_bytes = path.stat().st_size
    content = _SEAL.pack(_MARK, n_bytes, file_checksum(path, n_bytes))
    with path.open("ab") as stream:
        stream.write(content)


def damage_of_sealed(path: Path) -> str:
    """Return how a file differs from what was sealed; empty when it does not, or carries no seal.

    Reads the whole file, at the speed of the disk.
    """
    size = path.stat().st_size
    if size < _SEAL.size:
        return ""
    with path.open("rb") as stream:
        stream.seek(size - _SEAL.size)
        mark, n_bytes, checksum = _SEAL.unpack(stream.read(_SEAL.size))
    if mark != _MARK or n_bytes != size - _SEAL.size:
        return ""
    found = file_checksum(path, n_bytes)
    return "" if found == checksum else f"its checksum is {found:08x}, not {checksum:08x}"
