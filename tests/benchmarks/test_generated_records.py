"""The cells of the reading benchmark: sparse enough, the same every time, the same in both formats."""

import numpy as np
import pytest
from scipy import sparse

from benchmarks.generated_records import LIBRARY_SIZE, N_BATCHES, Cells, write_dense, write_sparse
from benchmarks.reading import BATCH_SIZE, open_minibatches
from discern.io.cell_sources import RecordSource
from discern.io.minibatches import minibatches
from discern.io.published_cells import parse_tfrecords
from discern.io.record_schema import TRAINING
from discern.io.transform import InputTransform

REAL = sparse.random(50, 300, density=0.3, format="csr", dtype=np.float32, rng=np.random.default_rng(1))
REAL.data = np.ceil(9 * REAL.data)


@pytest.fixture(params=[None, REAL], ids=["drawn", "tiled"])
def cells(request):
    return Cells(n_cells=1100, n_genes=700, real=request.param)


def test_cells_are_sparse_counts_and_the_same_every_time(cells):
    found, again = ([counts for counts, *_ in cells.pieces()] for _ in range(2))
    assert [counts.shape for counts in found] == [(1024, 700), (76, 700)]
    assert sum(counts.nnz for counts in found) / (1100 * 700) == pytest.approx(0.07, rel=0.1)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.toarray(), other.toarray())
        np.testing.assert_array_equal(one.data, np.ceil(np.maximum(one.data, 1)))


def test_both_formats_hold_the_same_cells(cells, tmp_path):
    scaling = cells.scaling()
    sizes = write_sparse(cells, tmp_path / "sparse"), write_dense(cells, scaling, tmp_path / "dense.tfrecords")
    assert sizes[0] == sum(path.stat().st_size for path in (tmp_path / "sparse").glob("*.tfrecords"))
    assert 0 < sizes[0] < sizes[1] / 2
    transform = InputTransform(LIBRARY_SIZE, log=True, scaling=scaling)
    ours = list(minibatches(RecordSource(tmp_path / "sparse", TRAINING), transform, 100).as_numpy_iterator())
    theirs = [inputs for inputs, _ in parse_tfrecords(tmp_path / "dense.tfrecords", 700, N_BATCHES).as_numpy_iterator()]
    expression = np.stack([one["input_data"] for one in theirs])
    np.testing.assert_allclose(
        np.concatenate([one["expression"] for one in ours]), expression, atol=1e-6 * np.abs(expression).max()
    )
    np.testing.assert_array_equal(
        np.concatenate([one["batch"] for one in ours]), [one["batch_input_enc"] for one in theirs]
    )
    read = [next(iter(open_minibatches(name, tmp_path, transform))) for name in ("sparse", "dense")]
    assert read[0]["expression"].shape == read[1][0]["input_data"].shape == (BATCH_SIZE, 700)
