import anndata
import numpy as np
import pytest
from scipy import sparse

from discern.errors import DataError
from discern.preprocessing.filtering import choose_cells_and_genes, count_seen, heavy_losses, require_every_batch
from discern.preprocessing.row_chunks import row_chunks


def choose(counts, min_genes, min_cells):
    return choose_cells_and_genes(count_seen(row_chunks(counts, 7), min_genes, counts.shape[1]), min_genes, min_cells)


@pytest.mark.parametrize(("min_genes", "min_cells"), [(0, 0), (20, 3), (24, 30)])
def test_same_as_scanpy(counts, min_genes, min_cells):
    import scanpy

    adata = anndata.AnnData(counts.copy())
    adata.obs["cell"], adata.var["gene"] = np.arange(90), np.arange(60)
    scanpy.pp.filter_cells(adata, min_genes=min_genes)
    scanpy.pp.filter_genes(adata, min_cells=min_cells)
    kept = choose(counts, min_genes, min_cells)
    assert list(np.flatnonzero(kept.cells)) == list(adata.obs["cell"])
    assert list(np.flatnonzero(kept.genes)) == list(adata.var["gene"])
    assert list(kept.genes_per_cell[kept.cells]) == list(adata.obs["n_genes"])
    assert list(kept.cells_per_gene[kept.genes]) == list(adata.var["n_cells"])


def test_something_is_removed_in_that_comparison(counts):
    kept = choose(counts, 24, 30)
    assert not kept.cells.all()
    assert not kept.genes.all()


@pytest.mark.parametrize(
    ("min_genes", "told"),
    [
        (60, "at most. Lower filtering.min_genes"),
        (61, "There are only 60 genes, .*of one species.*filtering.min_genes"),
    ],
)
def test_a_filter_that_no_cell_passes_says_what_to_look_at(counts, min_genes, told):
    with pytest.raises(DataError, match=f"No cell has {min_genes} genes or more: 90 cells .*{told}"):
        choose(counts, min_genes, 1)


def test_stored_zeros_are_no_counts():
    matrix = sparse.csr_matrix((np.array([1.0, 0.0, 2.0], np.float32), np.array([0, 1, 1]), np.array([0, 2, 3])))
    kept = choose(matrix, 1, 1)
    assert list(kept.genes_per_cell) == [1, 1]
    assert list(kept.cells_per_gene) == [1, 1]


def test_no_cell_left_tells_what_there_is(counts):
    genes = np.diff(counts.indptr)
    with pytest.raises(
        DataError, match=f"{np.median(genes):g} genes in the median and {genes.max()} at most.*min_genes"
    ):
        choose(counts, 400, 3)


def test_no_gene_left_tells_what_there_is(counts):
    with pytest.raises(DataError, match="seen in 90 of 90 cells.*min_cells"):
        choose(counts, 0, 100)


def test_a_batch_that_vanishes_is_named():
    batch = np.array([0, 0, 1, 1])
    require_every_batch(np.array([True, False, True, False]), batch, ["a", "b", "unused"], "fits")
    with pytest.raises(DataError, match=r"No cell of batch 'b' \(2 cells\) fits"):
        require_every_batch(np.array([True, True, False, False]), batch, ["a", "b", "unused"], "fits")


def test_a_batch_that_loses_most_of_its_cells_is_told():
    batch = np.array([0] * 10 + [1] * 10)
    kept = np.array([True] * 5 + [False] * 5 + [True] * 4 + [False] * 6)
    assert heavy_losses(kept, batch, ["deep", "shallow"]) == ["The filter keeps 4 of 10 cells of batch 'shallow'"]
