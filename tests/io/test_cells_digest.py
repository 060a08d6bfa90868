"""The digest of cells, whose names are never held all at once."""

import hashlib

import h5py
import numpy as np
import pandas as pd
import pytest

from discern.io import cells_digest as module
from discern.io import processed_annotation
from discern.io.cells_digest import cells_digest
from discern.io.processed_annotation import read_annotation
from discern.io.writing import write_h5ad


def at_once(names, parts, n_counts):
    """All names in one string, as records of earlier versions were marked."""
    digest = hashlib.sha256("\n".join(names).encode())
    digest.update(bytes({"train": 1, "valid": 2}.get(part, 0) for part in parts))
    digest.update(np.array(n_counts, "<f8").tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("size", [1, 3, 4, 11, 12, 50_000])
def test_the_size_of_slices_does_not_matter(monkeypatch, size):
    monkeypatch.setattr(module, "_NAMES_AT_ONCE", size)
    names = [f"cell-ä{number}" for number in range(12)]
    parts, n_counts = ["train", "valid", "test"] * 4, np.arange(12, dtype=np.float32)
    assert cells_digest(iter(names), parts, n_counts) == at_once(names, parts, n_counts)


def test_no_cells():
    assert cells_digest([], [], []) == at_once([], [], [])


@pytest.fixture
def file(make_counts, make_processed, tmp_path):
    data = make_processed(make_counts(40, 12))
    write_h5ad(data, tmp_path / "data.h5ad")
    return data, tmp_path / "data.h5ad"


def test_a_file_has_the_digest_of_its_cells(file, monkeypatch):
    data, path = file
    monkeypatch.setattr(processed_annotation, "_NAMES_AT_ONCE", 7)
    expected = at_once(data.obs_names, data.obs["split"], data.obs["n_counts"])
    assert read_annotation(path).cells_sha256 == expected
    with h5py.File(path, "r+") as stored:  # text of fixed length, as other programs write it
        names = stored["obs/_index"][:]
        del stored["obs/_index"]
        stored["obs"]["_index"] = np.array(names, dtype="S10")
    assert read_annotation(path).cells_sha256 == expected


def test_names_of_a_file_are_read_in_slices(file, monkeypatch):
    data, path = file
    taken = []
    read = h5py.Dataset.__getitem__

    def counting(dataset, args, **given):
        values = read(dataset, args, **given)
        if dataset.name == "/obs/_index":
            taken.append(len(values))
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    monkeypatch.setattr(processed_annotation, "_NAMES_AT_ONCE", 16)
    read_annotation(path)
    assert taken == [16, 16, 8]


def test_an_index_of_another_form_is_read_as_well(file):
    data, path = file
    data.obs.index = pd.CategoricalIndex(data.obs_names)
    with h5py.File(path, "r+") as stored:
        from anndata.io import write_elem

        del stored["obs/_index"]
        write_elem(stored["obs"], "_index", pd.Categorical([f"cell{number}" for number in range(40)]))
    assert read_annotation(path).cells_sha256 == at_once(
        [f"cell{number}" for number in range(40)], data.obs["split"], data.obs["n_counts"]
    )


@pytest.mark.parametrize(
    "other",
    [
        (["b", "a"], ["train", "valid"], [1, 2]),
        (["a", "b"], ["valid", "train"], [1, 2]),
        (["a", "b"], ["train", "valid"], [1, 3]),
    ],
)
def test_the_digest_tells_cells_apart(other):
    mine = cells_digest(["a", "b"], pd.Categorical(["train", "valid"]), np.array([1, 2], "f4"))
    assert mine == cells_digest(["a", "b"], ["train", "valid"], [1.0, 2.0])
    assert mine != cells_digest(*other)
