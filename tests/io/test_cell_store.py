import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError
from discern.io import row_readers
from discern.io.cell_store import CellStore, Piece, store_inputs
from discern.io.reading import open_raw_input
from discern.workers import ThisProcess


@pytest.fixture
def counts():
    return sparse.csr_matrix(np.random.default_rng(0).poisson(0.8, (45, 12)).astype(np.float32))


@pytest.fixture
def opened(tmp_path, counts, monkeypatch):
    monkeypatch.setattr(row_readers, "MAX_CELLS", 10)

    def build(matrix=counts, name="a"):
        obs = pd.DataFrame(index=[f"cell{i}" for i in range(matrix.shape[0])])
        var = pd.DataFrame(index=[f"gene{i}" for i in range(matrix.shape[1])])
        anndata.AnnData(matrix, obs=obs, var=var).write_h5ad(tmp_path / f"{name}.h5ad")
        return open_raw_input(tmp_path / f"{name}.h5ad")

    return build


def everything(store):
    return sparse.vstack([piece.read() for piece in store.pieces], format="csr")


@pytest.mark.parametrize(
    ("highest", "dtype"), [(1, "|u1"), (255, "|u1"), (256, "<u2"), (70_000, "<u4"), (1.5, "<f4"), (-1, "<f4")]
)
def test_a_piece_keeps_every_value_in_the_narrowest_type(tmp_path, counts, highest, dtype):
    counts = counts.tolil()
    counts[3, 4] = highest
    piece = Piece.write(tmp_path / "piece.npz", counts.tocsr())
    assert piece.value_dtype == dtype
    assert piece.n_values == counts.nnz
    read = piece.read()
    assert read.dtype == np.float32
    assert (read != counts.tocsr()).nnz == 0


def test_inputs_are_stored_in_their_order_with_the_chosen_genes(tmp_path, counts, opened):
    inputs = [opened(), opened(counts[:7] * 2, "b"), opened(counts.tocsc(), "c"), opened(counts.toarray(), "d")]
    columns = [np.array([5, 1, 7]), np.array([5, 1, 7]), np.arange(3), np.array([0, 2, 3])]
    store, findings, genes_per_cell = store_inputs(inputs, columns, tmp_path / "store", ThisProcess())
    assert (store.n_cells, store.n_genes) == (45 + 7 + 45 + 45, 3)
    assert max(piece.n_cells for piece in store.pieces) <= 10
    expected = sparse.vstack(
        [one[:, kept] for one, kept in zip([counts, counts[:7] * 2, counts, counts], columns, strict=True)]
    )
    assert (everything(store) != expected).nnz == 0
    assert store.n_values == expected.nnz
    assert [sum(found.n_cells for found in one) for one in findings] == [45, 7, 45, 45]
    in_all_genes = (counts.toarray() > 0).sum(axis=1)
    assert genes_per_cell.tolist() == [*in_all_genes, *in_all_genes[:7], *in_all_genes, *in_all_genes]


def test_genes_that_an_input_does_not_have_get_no_count(tmp_path, counts, opened):
    store = store_inputs([opened()], [np.array([5, -1, 7, 0, -1])], tmp_path / "store", ThisProcess(), "known").store
    dense = counts.toarray()
    expected = np.stack([dense[:, 5], np.zeros(45), dense[:, 7], dense[:, 0], np.zeros(45)], axis=1)
    np.testing.assert_array_equal(everything(store).toarray(), expected)
    assert everything(store).has_sorted_indices
    assert [piece.path.name for piece in store.pieces][:2] == ["known-0000-00000.npz", "known-0000-00001.npz"]


def test_findings_tell_cells_of_the_whole_input(tmp_path, counts, opened):
    bad = counts.tolil()
    bad[33, 4] = -2
    (found,) = store_inputs([opened(bad.tocsr())], [np.arange(2)], tmp_path / "store", ThisProcess()).findings
    faults = [one.negative for one in found if one.negative.count]
    assert [(fault.cell, fault.gene, fault.value) for fault in faults] == [(33, 4, -2.0)]


def test_keep_cells_and_genes(tmp_path, counts, opened):
    store = store_inputs([opened()], [np.arange(12)], tmp_path / "store", ThisProcess()).store
    cells = np.arange(45) % 3 == 0
    cells[10:20] = False  # a whole piece
    genes = np.arange(12) % 2 == 1
    kept = store.keep(cells, genes, tmp_path / "kept", ThisProcess())
    assert (everything(kept) != counts[cells][:, genes]).nnz == 0
    assert len(kept.pieces) == 4
    assert (everything(store) != counts).nnz == 0
    assert [part.tolist() for part in kept.parts_of(np.arange(kept.n_cells))][0] == [0, 1, 2, 3]


def test_a_damaged_file_is_named(tmp_path, counts, opened):
    raw = opened()
    content = bytearray(raw.path.read_bytes())
    raw.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"Cannot read .*a\.h5ad"):
        store_inputs([raw], [np.arange(12)], tmp_path / "store", ThisProcess())


def test_starts():
    pieces = tuple(Piece(None, n, 3, 0, "|u1") for n in (4, 2, 5))
    assert CellStore(3, pieces).starts == [0, 4, 6, 11]
