"""HDF5 files that are being written: what goes wrong is told as for any other file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

_ERRNO = re.compile(r"errno = (\d+), error message = '([^']*)'")


@contextmanager
def hdf5_to_write(path: Path, mode: str = "r+") -> Iterator[h5py.File]:
    """Open an HDF5 file for writing; by default what it holds stays.

    Raises:
        OSError: The disk is full, or otherwise cannot be written; h5py says RuntimeError when it notices at the end.
    """
    try:
        with h5py.File(path, mode) as file:
            yield file
    except RuntimeError as error:
        found = _ERRNO.search(str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), found[2], str(path)) from error
