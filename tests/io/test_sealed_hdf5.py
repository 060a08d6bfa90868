"""Files with a checksum in front: every changed byte is noticed, and any program reads them."""

import hashlib

import h5py
import numpy as np
import pytest

from discern.io.sealed_hdf5 import is_sealed, is_whole, sealed_hdf5

NUMBERS = np.arange(40, dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "numbers.hdf5"
    with sealed_hdf5(path) as file:
        file["numbers"] = NUMBERS
        file.attrs["unit"] = "cells"
    return path


def test_it_is_an_hdf5_file_with_the_digest_of_the_rest_in_front(path):
    content = path.read_bytes()
    assert content[:512].rstrip(b"\0").decode() == f"DISCERN sha256 {hashlib.sha256(content[512:]).hexdigest()}\n"
    assert is_sealed(path)
    assert is_whole(path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["numbers"][()], NUMBERS)
        assert file.attrs["unit"] == "cells"


def test_every_flipped_bit_and_every_cut_is_noticed(path):
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        assert not is_whole(path), position
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert not is_whole(path), length
    path.write_bytes(content + b"\0")
    assert not is_whole(path)


def test_other_files_are_not_sealed(tmp_path):
    with h5py.File(tmp_path / "plain.hdf5", "w") as file:
        file["numbers"] = NUMBERS
    assert not is_sealed(tmp_path / "plain.hdf5")
    (tmp_path / "empty").touch()
    assert not is_sealed(tmp_path / "empty")


def test_what_fails_is_not_sealed(tmp_path):
    with pytest.raises(RuntimeError), sealed_hdf5(tmp_path / "half.hdf5"):
        raise RuntimeError
    assert not is_sealed(tmp_path / "half.hdf5")
