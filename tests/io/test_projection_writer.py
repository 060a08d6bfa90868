import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.io.growing_arrays import ChunkWriter
from discern.io.matrix_rows import rows_of
from discern.io.projection_writer import ProjectionWriter

N_CELLS, N_GENES = 25, 12


@pytest.fixture
def content():
    """Expression, a layer, an embedding and raw values of all cells."""
    rng = np.random.default_rng(0)
    expression = rng.poisson(0.4, (N_CELLS, N_GENES)).astype(np.float32)
    layer, latent = rng.random((N_CELLS, N_GENES)).astype(np.float32), rng.random((N_CELLS, 3)).astype(np.float32)
    return expression, layer, latent, sparse.csr_matrix(expression * 2)


@pytest.fixture
def annotation():
    obs = pd.DataFrame(
        {"batch": pd.Categorical(["x", "y/z"] * 12 + ["x"]), "n_counts": np.arange(25.0), "free": ["text"] * 25},
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    return obs, pd.DataFrame({"mean_scaling": np.arange(12.0)}, index=[f"gene{i}" for i in range(N_GENES)])


def write(path, content, annotation, slices, stop_after=None):
    expression, layer, latent, raw = content
    obs, var = annotation
    uns = {"discern": {"seed": 3, "target_value": ""}}
    measured = pd.DataFrame({"x": np.arange(N_GENES) > 3}, index=var.index)
    with ChunkWriter(2) as chunks, ProjectionWriter(path, obs, var, uns, chunks, varm={"measured": measured}) as writer:
        writer.start_raw(var, rows_of(raw))
        for number, cells in enumerate(slices):
            if number == stop_after:
                raise OSError("disk full")
            writer.append(
                sparse.csr_matrix(expression[cells]), {"estimated": layer[cells]}, {"X_L": latent[cells]}, raw[cells]
            )


@pytest.mark.parametrize(
    "slices", [[slice(0, 25)], [slice(0, 10), slice(10, 20), slice(20, 25)], [slice(i, i + 1) for i in range(25)]]
)
def test_pieces_make_a_whole_file(tmp_path, content, annotation, slices):
    expression, layer, latent, raw = content
    write(tmp_path / "out.h5ad", content, annotation, slices)
    read = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert sparse.issparse(read.X)
    assert read.X.has_canonical_format
    np.testing.assert_array_equal(read.X.toarray(), expression)
    np.testing.assert_array_equal(read.layers["estimated"], layer)
    np.testing.assert_array_equal(read.obsm["X_L"], latent)
    np.testing.assert_array_equal(read.raw.X.toarray(), raw.toarray())
    assert list(read.raw.var_names) == list(annotation[1].index)
    pd.testing.assert_frame_equal(read.obs.astype({"free": object}), annotation[0].astype({"free": object}))
    pd.testing.assert_frame_equal(read.var, annotation[1])
    assert list(read.varm["measured"]["x"]) == [False] * 4 + [True] * 8
    assert read.uns["discern"]["seed"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5ad"]


def test_the_annotation_given_is_not_changed(tmp_path, content, annotation):
    before = annotation[0].copy()
    write(tmp_path / "out.h5ad", content, annotation, [slice(0, 25)])
    pd.testing.assert_frame_equal(annotation[0], before)


def test_index_arrays_are_of_one_type(tmp_path, content, annotation):
    """scipy refuses in-place operations otherwise; scanpy's marker genes use one."""
    write(tmp_path / "out.h5ad", content, annotation, [slice(0, 25)])
    read = anndata.read_h5ad(tmp_path / "out.h5ad").X
    assert read.indices.dtype == read.indptr.dtype == np.int32
    read.eliminate_zeros()


def test_the_file_can_hold_more_than_two_thousand_million_values(tmp_path, monkeypatch, content, annotation):
    monkeypatch.setattr("discern.io.growing_arrays._LARGEST_INT32", 15)
    write(tmp_path / "out.h5ad", content, annotation, [slice(0, 25)])
    with h5py.File(tmp_path / "out.h5ad") as file:
        assert file["X/indptr"].dtype == np.int64
        assert file["X/indices"].dtype == np.int64


def test_memory_of_a_chunk_does_not_grow_with_the_cells(tmp_path):
    obs = pd.DataFrame(index=[str(i) for i in range(3000)])
    var = pd.DataFrame(index=[str(i) for i in range(2000)])
    with ChunkWriter(2) as chunks, ProjectionWriter(tmp_path / "out.h5ad", obs, var, {}, chunks) as writer:
        for start in range(0, 3000, 1000):
            zeros = np.zeros((1000, 2000), dtype=np.float32)
            zeros[0, 0] = start + 1
            writer.append(sparse.csr_matrix(zeros), {"layer": zeros}, {"X_L": zeros[:, :2]})
    with h5py.File(tmp_path / "out.h5ad") as file:
        assert np.prod(file["layers/layer"].chunks) <= 2**18
        np.testing.assert_array_equal(file["layers/layer"][::1000, 0], [1, 1001, 2001])


@pytest.mark.parametrize("stop_after", [0, 1])
def test_an_interrupted_file_is_absent(tmp_path, content, annotation, stop_after):
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "out.h5ad", content, annotation, [slice(0, 10), slice(10, 25)], stop_after)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_file_leaves_the_old_one(tmp_path, content, annotation):
    path = tmp_path / "out.h5ad"
    write(path, content, annotation, [slice(0, 25)])
    before = path.read_bytes()
    with pytest.raises(OSError, match="disk full"):
        write(path, content, annotation, [slice(0, 10), slice(10, 25)], stop_after=1)
    assert path.read_bytes() == before


def test_a_file_with_too_few_cells_is_absent(tmp_path, content, annotation):
    with pytest.raises(RuntimeError, match="20 of 25 cells were written"):
        write(tmp_path / "out.h5ad", content, annotation, [slice(0, 20)])
    assert list(tmp_path.iterdir()) == []


def test_annotation_that_cannot_be_written_leaves_nothing(tmp_path, content, annotation):
    obs = annotation[0].assign(bad=[object()] * N_CELLS)
    with pytest.raises(Exception, match=r"bad|object|string"):
        write(tmp_path / "out.h5ad", content, (obs, annotation[1]), [slice(0, 25)])
    assert list(tmp_path.iterdir()) == []


def test_it_must_be_opened(tmp_path, annotation):
    writer = ProjectionWriter(tmp_path / "out.h5ad", *annotation, {}, ChunkWriter(1))
    with pytest.raises(RuntimeError, match="context manager"):
        writer.append(sparse.csr_matrix((1, N_GENES), dtype=np.float32), {}, {"X_L": np.zeros((1, 2))})
