import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from discern.io import row_readers
from discern.io.row_readers import (
    RowsInMemory,
    SpooledRows,
    StoredColumns,
    StoredDenseRows,
    StoredSparseRows,
)

CHOSEN = np.array([7, 2, 11])


@pytest.fixture
def counts():
    return sparse.random(53, 17, density=0.3, random_state=1, format="csr", dtype=np.float32)


@pytest.fixture
def file(tmp_path, counts):
    path = tmp_path / "x.h5ad"
    layers = {"csc": counts.tocsc(), "dense": counts.toarray()}
    anndata.AnnData(counts, layers=layers).write_h5ad(path, compression="gzip")
    with h5py.File(path, "r+") as stream:
        stream.create_dataset("turned", data=counts.toarray().T, chunks=(4, 6))
    return path


@pytest.fixture(params=["memory", "sparse", "dense", "turned", "spooled"])
def reader(request, file, counts, tmp_path, monkeypatch):
    monkeypatch.setattr(row_readers, "MAX_CELLS", 10)
    monkeypatch.setattr(row_readers, "MAX_VALUES", 60)
    with h5py.File(file, "r") as stream:
        return {
            "memory": lambda: RowsInMemory(counts),
            "sparse": lambda: StoredSparseRows(file, "/X", (53, 17)),
            "dense": lambda: StoredDenseRows.of(file, stream["layers/dense"]),
            "turned": lambda: StoredDenseRows.of(file, stream["turned"], transposed=True),
            "spooled": lambda: StoredColumns(file, "/layers/csc", (53, 17)).turned(tmp_path / "spool"),
        }[request.param]()


def test_blocks_cover_all_cells_and_are_small(reader, counts):
    assert reader.shape == (53, 17)
    blocks = reader.blocks()
    assert blocks[0][0] == 0
    assert blocks[-1][1] == 53
    assert all(before[1] == after[0] for before, after in zip(blocks, blocks[1:], strict=False))
    assert len(blocks) > 5
    assert max(stop - start for start, stop in blocks) <= 10


def test_every_block_holds_its_cells(reader, counts):
    for start, stop in reader.blocks():
        found = reader.rows(start, stop)
        assert found.dtype == np.float32
        assert found.has_canonical_format
        assert (found != counts[start:stop]).nnz == 0


@pytest.mark.parametrize("key", ["X", "layers/csc", "layers/dense"])
def test_all_cells_at_once(file, counts, key):
    with h5py.File(file, "r") as stream:
        kinds = {
            "X": StoredSparseRows(file, "/X", (53, 17)),
            "layers/csc": StoredColumns(file, "/layers/csc", (53, 17)),
            "layers/dense": StoredDenseRows.of(file, stream["layers/dense"]),
        }
    assert (kinds[key].rows(0, 53) != counts).nnz == 0
    assert (kinds[key].rows(20, 31) != counts[20:31]).nnz == 0


def test_many_values_make_short_blocks(counts, monkeypatch):
    monkeypatch.setattr(row_readers, "MAX_VALUES", 12)
    blocks = RowsInMemory(counts).blocks()
    sizes = [(stop - start, counts[start:stop].nnz) for start, stop in blocks]
    assert all(values <= 12 or cells == 1 for cells, values in sizes)


def test_chosen_columns_of_a_sparse_matrix(file, counts):
    reader = StoredSparseRows(file, "/X", (53, 17), CHOSEN)
    assert reader.shape == (53, 3)
    assert (reader.rows(5, 30) != counts[5:30][:, CHOSEN]).nnz == 0


def test_turning_reads_few_values_at_once(file, counts, tmp_path, monkeypatch):
    monkeypatch.setattr(row_readers, "MAX_CELLS", 10)
    monkeypatch.setattr(row_readers, "MAX_VALUES", 8)
    turned = StoredColumns(file, "/layers/csc", (53, 17)).turned(tmp_path / "spool")
    assert isinstance(turned, SpooledRows)
    assert sum(part.stat().st_size for part in (tmp_path / "spool").iterdir()) == counts.nnz * 16
    rows = sparse.vstack([turned.rows(start, stop) for start, stop in turned.blocks()])
    assert (rows != counts).nnz == 0


def test_a_slice_of_cells_without_a_value_is_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(row_readers, "MAX_CELLS", 4)
    counts = np.zeros((11, 3), dtype=np.float32)
    counts[9, 1] = 2
    with h5py.File(tmp_path / "cells.h5ad", "w") as stream:
        anndata.io.write_elem(stream, "X", sparse.csc_matrix(counts))
    rows = StoredColumns(tmp_path / "cells.h5ad", "X", (11, 3)).turned(tmp_path / "spool")
    found = [rows.rows(start, stop) for start, stop in rows.blocks()]
    np.testing.assert_array_equal(sparse.vstack(found).toarray(), counts)
