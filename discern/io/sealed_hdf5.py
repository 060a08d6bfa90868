"""HDF5 files with a checksum of every byte in front, told apart from damaged ones before HDF5 reads them.

HDF5 leaves the first 512 bytes of a file to its users (the user block): here one line with the SHA-256 of all that
follows, filled up with zero bytes. Other programs read such a file as any HDF5 file.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from discern.io.hdf5_files import hdf5_to_write

_BLOCK = 512
_MARK = b"DISCERN sha256 "


@contextmanager
def sealed_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give a new HDF5 file to fill; the checksum is written when the block succeeds.

    Raises:
        OSError: The disk is full, or otherwise cannot be written.
    """
    h5py.File(path, "w", userblock_size=_BLOCK).close()
    with hdf5_to_write(path) as file:
        yield file
    with path.open("rb+") as stream:
        stream.seek(_BLOCK)
        block = _block(hashlib.file_digest(stream, "sha256").hexdigest())
        stream.seek(0)
        stream.write(block)


def is_sealed(path: Path) -> bool:
    """Tell whether the file has a checksum in front; earlier files and those of other programs have none."""
    with path.open("rb") as stream:
        return stream.read(len(_MARK)) == _MARK


def is_whole(path: Path) -> bool:
    """Tell whether every byte of a sealed file is as it was written."""
    with path.open("rb") as stream:
        block = stream.read(_BLOCK)
        return block == _block(hashlib.file_digest(stream, "sha256").hexdigest())


def _block(digest: str) -> bytes:
    return (_MARK + digest.encode() + b"\n").ljust(_BLOCK, b"\0")
