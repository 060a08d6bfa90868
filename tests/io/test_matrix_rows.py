"""Rows of matrices, wherever and however they are stored."""

import logging

import h5py
import numpy as np
import pytest
from anndata.io import write_elem
from scipy import sparse

from discern.errors import DataError
from discern.io.matrix_rows import SelectedColumns, StoredRows, rows_at, rows_of

SLICES = [slice(0, 7), slice(7, 14), slice(14, 23), slice(5, 5), slice(0, 23)]
FORMS = ["csr", "csc", "dense"]


@pytest.fixture
def matrix(make_counts):
    counts = make_counts(23, 9)
    counts.data[:3] = 0  # stored zeros stay
    return counts


def of_form(matrix, form):
    return {"csr": matrix, "csc": matrix.tocsc(), "dense": matrix.toarray()}[form]


@pytest.fixture
def stored(tmp_path, matrix):
    """A function that returns an element of an open file."""
    with h5py.File(tmp_path / "matrix.h5", "w") as file:

        def write(form):
            write_elem(
                file, form, of_form(matrix, form), dataset_kwargs={"chunks": (3, 4) if form == "dense" else (5,)}
            )
            return file[form]

        yield write


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cells", SLICES)
def test_slices_are_those_of_the_matrix(matrix, stored, form, on_disk, cells):
    rows = rows_of(stored(form) if on_disk else of_form(matrix, form))
    found = rows[cells]
    assert isinstance(found, sparse.csr_matrix)
    assert (rows.shape, rows.dtype) == ((23, 9), np.float32)
    assert rows.most_values >= matrix.nnz
    np.testing.assert_array_equal(found.toarray(), matrix.toarray()[cells])


@pytest.mark.parametrize("form", FORMS)
def test_columns_are_chosen_slice_by_slice(matrix, stored, form):
    columns = np.array([8, 0, 3, 1])
    rows = SelectedColumns(rows_of(stored(form)), columns)
    assert rows.shape == (23, 4)
    found = rows[slice(4, 11)]
    assert found.has_sorted_indices
    np.testing.assert_array_equal(found.toarray(), matrix.toarray()[4:11][:, columns])


def test_only_what_is_stored_by_columns_is_read_whole(stored, caplog):
    with caplog.at_level(logging.WARNING):
        rows_of(stored("csr"))
        rows_of(stored("dense"))
        assert not caplog.records
        rows_of(stored("csc"))
    assert "/csc of " in caplog.text
    assert "is not stored by cells, so it is read whole" in caplog.text


@pytest.mark.parametrize("part", ["data", "indices"])
def test_a_slice_takes_no_more_values_than_it_has(matrix, stored, part, monkeypatch):
    """A reader that takes the whole matrix, or rows before the slice, fails here."""
    rows = rows_of(stored("csr"))
    assert isinstance(rows, StoredRows)
    taken = []

    class Counting:
        def __init__(self, dataset):
            self.dataset = dataset

        def __getitem__(self, entries):
            values = self.dataset[entries]
            taken.append(len(values))
            return values

    monkeypatch.setattr(rows, f"_{part}", Counting(getattr(rows, f"_{part}")))
    for cells in SLICES:
        rows[cells]
    assert taken == [matrix[cells].nnz for cells in SLICES]


def test_the_older_marks_of_sparse_matrices_are_known(matrix, stored):
    group = stored("csr")
    for key in list(group.attrs):
        del group.attrs[key]
    group.attrs.update({"h5sparse_format": "csr", "h5sparse_shape": matrix.shape})
    np.testing.assert_array_equal(rows_of(group)[slice(3, 8)].toarray(), matrix.toarray()[3:8])


def test_a_damaged_file_is_a_known_error(stored):
    group = stored("csr")
    group["indices"][40] = 9  # there are genes 0 to 8
    rows = rows_of(group)
    with pytest.raises(DataError, match=r"matrix.h5 is damaged: cells 0 to 23 of /csr cannot be read"):
        rows[slice(0, 23)]


def test_single_rows_are_read_slice_by_slice(monkeypatch):
    matrix = sparse.random(50, 6, 0.4, format="csr", random_state=0)
    monkeypatch.setattr("discern.io.matrix_rows._CELLS_AT_ONCE", 8)
    monkeypatch.setattr("discern.io.matrix_rows._FEW", 5)
    positions = np.array([0, 7, 8, 31, 49])  # two of the first eight, one of others
    np.testing.assert_array_equal(rows_at(rows_of(matrix), positions).toarray(), matrix.toarray()[positions])
    assert rows_at(rows_of(matrix), np.array([], int)).shape == (0, 6)


def test_single_rows_in_any_order(monkeypatch):
    matrix = sparse.random(50, 6, 0.4, format="csr", random_state=0)
    monkeypatch.setattr("discern.io.matrix_rows._CELLS_AT_ONCE", 8)
    monkeypatch.setattr("discern.io.matrix_rows._FEW", 5)
    positions = np.array([31, 0, 49, 7, 0, 8])  # the first twice
    np.testing.assert_array_equal(rows_at(rows_of(matrix), positions).toarray(), matrix.toarray()[positions])
