import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse, stats

from benchmarks import tiled_cells
from benchmarks.tiled_cells import (
    cell_names,
    kept_per_batch,
    nearest_cells,
    pooled_cells,
    read_real_cells,
    thinned,
    write_tiled_cells,
)

N_CELLS = 5000  # more than one piece
GENES = 300
DENSITY = 0.1


@pytest.fixture(scope="session")
def real(real_file):
    return read_real_cells(real_file, GENES, np.random.default_rng(0))


@pytest.fixture(scope="session")
def tiled_file(real, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiled") / "tiled.h5ad"
    write_tiled_cells(real, path, N_CELLS, 4, DENSITY, seed=0)
    return path


@pytest.fixture(scope="session")
def tiled(tiled_file):
    return anndata.read_h5ad(tiled_file)


def test_the_genes_seen_most_often_are_kept_in_their_order(real, real_file):
    adata = anndata.read_h5ad(real_file)
    seen = dict(zip(adata.var_names, (adata.X.toarray() > 0).sum(axis=0), strict=True))
    assert min(seen[gene] for gene in real.genes) >= max(
        count for gene, count in seen.items() if gene not in real.genes
    )
    assert real.genes == [gene for gene in adata.var_names if gene in set(real.genes)]
    np.testing.assert_array_equal(real.counts.toarray(), adata[:, real.genes].X.toarray())


def test_more_genes_than_are_seen_are_refused(real_file):
    with pytest.raises(SystemExit, match="399 are wanted"):
        read_real_cells(real_file, 399, np.random.default_rng(0))


def test_of_many_real_cells_some_are_taken(real_file, monkeypatch):
    monkeypatch.setattr(tiled_cells, "MOST_REAL_CELLS", 40)
    assert read_real_cells(real_file, 100, np.random.default_rng(0)).counts.shape == (40, 100)


def test_neighbours_are_the_cells_with_the_least_cosine_distance(real, kinds):
    found = nearest_cells(real.counts)
    counts = real.counts.toarray()
    logged = np.log1p(counts / counts.sum(axis=1, keepdims=True) * np.median(counts.sum(axis=1)))
    for cell in (0, 17, 89):
        cosine = [logged[cell] @ other / np.linalg.norm(logged[cell]) / np.linalg.norm(other) for other in logged]
        expected = [other for other in np.argsort(cosine)[::-1] if other != cell][:10]
        np.testing.assert_array_equal(found[cell], expected)
    assert (kinds[found] == kinds[:, None]).mean() > 0.9


def test_a_pooled_cell_holds_a_cell_and_a_neighbour_and_some_other_entries(real, monkeypatch):
    monkeypatch.setattr(tiled_cells, "REPLACED_ENTRIES", 0.0)
    sums = {
        tuple(real.counts[cell].toarray().ravel() + real.counts[beside].toarray().ravel())
        for cell in range(real.counts.shape[0])
        for beside in real.neighbours[cell]
    }
    pooled = pooled_cells(real, 50, np.random.default_rng(1)).toarray()
    assert {tuple(row) for row in pooled} <= sums
    monkeypatch.setattr(tiled_cells, "REPLACED_ENTRIES", 0.05)
    perturbed = pooled_cells(real, 50, np.random.default_rng(1))
    assert perturbed.has_canonical_format
    assert 0.005 < (perturbed.toarray() != pooled).mean() < 0.1 * 2


def test_every_molecule_is_kept_with_the_probability_of_its_cell():
    counts = sparse.csr_matrix(np.full((2, 4000), 5, dtype=np.int32))
    left = thinned(counts, np.array([0.2, 0.7]), np.random.default_rng(0))
    for row, kept in enumerate((0.2, 0.7)):
        observed = np.bincount(left[row].toarray().ravel().astype(int), minlength=6)
        expected = stats.binom.pmf(np.arange(6), 5, kept) * 4000
        assert stats.chisquare(observed, expected).pvalue > 1e-3
    assert left.data.min() == 1


def test_kept_shares_reach_the_density_and_span_the_depths(real):
    pooled = pooled_cells(real, 400, np.random.default_rng(0))
    kept = kept_per_batch(pooled, 3, 0.08)
    rng = np.random.default_rng(1)
    reached = [(rng.binomial(pooled.toarray(), share) > 0).mean() for share in kept]
    assert np.mean(reached) == pytest.approx(0.08, rel=0.03)
    assert kept[0] / kept[2] == pytest.approx(2.5)
    assert kept[1] == pytest.approx(np.sqrt(kept[0] * kept[2]))


def test_a_density_beyond_the_real_cells_is_refused(real):
    with pytest.raises(SystemExit, match="0.9 is wanted"):
        kept_per_batch(real.counts, 2, 0.9)


def test_names_are_unique_barcodes_with_their_batch():
    names = cell_names(20_000, np.arange(20_000) // 10_000, np.random.default_rng(0))
    assert len(set(names)) == 20_000
    assert all(len(name) == 18 and set(name[:16]) <= set("ACGT") for name in names[:100])
    assert names[0].endswith("-1")
    assert names[-1].endswith("-2")


def test_the_file_is_like_an_ordinary_one(tiled, tiled_file, real):
    assert tiled.shape == (N_CELLS, GENES)
    assert list(tiled.var_names) == real.genes
    assert tiled.X.dtype == np.float32
    assert tiled.X.has_canonical_format
    assert (tiled.X.data >= 1).all()
    assert (tiled.X.data == np.round(tiled.X.data)).all()
    assert tiled.X.nnz / np.prod(tiled.shape) == pytest.approx(DENSITY, rel=0.05)
    assert tiled.obs["batch"].value_counts().tolist() == [1250] * 4
    with h5py.File(tiled_file) as file:
        assert file["X/indptr"].dtype == np.int64
        assert file["X/data"].compression == "gzip"


def test_batches_differ_in_depth(tiled):
    depth = np.asarray(tiled.X.sum(axis=1)).ravel()
    medians = [np.median(depth[(tiled.obs["batch"] == f"batch{number}").to_numpy()]) for number in (1, 2, 3, 4)]
    assert medians == sorted(medians, reverse=True)
    assert medians[0] / medians[3] == pytest.approx(2.5, rel=0.15)


def test_genes_are_seen_as_often_as_in_real_cells_and_no_two_cells_are_the_same(tiled, real):
    correlation = stats.spearmanr(tiled.X.getnnz(axis=0), real.counts.getnnz(axis=0)).statistic
    assert correlation > 0.95
    assert len({row.tobytes() for row in tiled.X.toarray()}) == N_CELLS


def test_the_seed_decides(real, tiled, tmp_path):
    write_tiled_cells(real, tmp_path / "again.h5ad", N_CELLS, 4, DENSITY, seed=0)
    write_tiled_cells(real, tmp_path / "other.h5ad", N_CELLS, 4, DENSITY, seed=1)
    again, other = (anndata.read_h5ad(tmp_path / name) for name in ("again.h5ad", "other.h5ad"))
    assert list(again.obs_names) == list(tiled.obs_names)
    assert (again.X != tiled.X).nnz == 0
    assert (other.X != tiled.X).nnz > 0


def test_an_interrupted_run_leaves_no_file(real, tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(tiled_cells, "sparse_dataset", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_tiled_cells(real, tmp_path / "tiled.h5ad", N_CELLS, 4, DENSITY, seed=0)
    assert list(tmp_path.iterdir()) == []
