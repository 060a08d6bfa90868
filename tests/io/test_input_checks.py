import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
from discern.io import raw_counts
from discern.io.input_checks import check_counts, holds_counts
from discern.io.reading import read_raw_input
from discern.io.row_readers import RowsInMemory


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(2.0, (40, 15)).astype(np.float32) + np.eye(40, 15, dtype=np.float32)


def build(x):
    obs, var = ([f"{kind}{i}" for i in range(n)] for kind, n in zip(("cell", "gene"), x.shape, strict=True))
    return AnnData(x, obs=pd.DataFrame(index=obs), var=pd.DataFrame(index=var))


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_counts_pass_silently(counts, form, caplog):
    check_counts(build(form(counts)), "x")
    assert not caplog.text


def test_real_data_pass(data_dir, golden_dir):
    for path in (data_dir / "pbmc_citeseq_10k5k.h5ad", data_dir / "raw" / "h5ad_smfish" / "smfish.h5ad"):
        check_counts(read_raw_input(path), path.stem)
    processed = read_raw_input(golden_dir / "job_small" / "processed_data" / "concatenated_data.h5ad")
    with pytest.raises(DataError, match="negative"):
        check_counts(processed, "processed")


@pytest.mark.parametrize(("value", "what"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (-3.0, "-3")])
@pytest.mark.parametrize("allowed", [False, True])
def test_impossible_values_are_named_with_their_place(counts, value, what, allowed):
    counts[7, 4] = counts[9, 2] = value
    kind = "negative" if value == -3 else "not finite"
    with pytest.raises(DataError, match=rf"data: 2 values are {kind}.*the first is {what} \(cell cell7, gene gene4\)"):
        check_counts(build(sparse.csr_matrix(counts)), "data", allowed)


def test_the_place_is_right_behind_empty_cells_and_in_later_slabs(counts, monkeypatch):
    monkeypatch.setattr(raw_counts, "_SLAB_VALUES", 40)
    counts[10:20] = 0
    counts[20, 14] = -1
    counts[39, 14] = -2
    with pytest.raises(DataError, match=r"2 values are negative; the first is -1 \(cell cell20, gene gene14\)"):
        check_counts(build(sparse.csr_matrix(counts)), "data")


def normalised(counts):
    return counts / counts.sum(axis=1, keepdims=True) * 10000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (np.log1p, r"look log-transformed \(largest value"),
        (lambda counts: np.log1p(normalised(counts)), "look log-transformed of counts normalised to 10,000 per cell"),
        (normalised, "look normalised: every cell sums to 10,000"),
        (lambda counts: counts * 10 + 0.25, "neither log-transformed nor normalised"),
    ],
)
def test_fractions_are_refused_with_a_guess_or_allowed_with_a_warning(counts, change, message, caplog):
    adata = build(sparse.csr_matrix(change(counts).astype(np.float32)))
    with pytest.raises(DataError, match=message) as caught:
        check_counts(adata, "data")
    assert "are not whole numbers" in str(caught.value)
    assert "layers['counts']" in str(caught.value)
    assert not caplog.text
    check_counts(adata, "data", allow_non_counts=True)
    assert "are not whole numbers" in caplog.text


def test_empty_cells_are_counted(counts, caplog):
    counts[[3, 5]] = 0
    check_counts(build(sparse.csr_matrix(counts)), "data")
    assert "data: 2 of 40 cells have no count" in caplog.text


@pytest.mark.parametrize("value", [0.5, -1, np.nan, np.inf])
def test_holds_counts(counts, value):
    assert holds_counts(RowsInMemory(sparse.csr_matrix(counts)))
    counts[0, 0] = value
    assert not holds_counts(RowsInMemory(sparse.csr_matrix(counts)))


@pytest.mark.parametrize("value", [2**24, 2**24 + 1, 2**60])
def test_counts_too_large_to_be_exact(value):
    adata = AnnData(sparse.csr_matrix(np.array([[1, 0], [value, 3]], dtype=np.int64)))
    with pytest.raises(DataError, match=r"x: 1 counts are 16,777,216 or more.*cell 1, gene 0"):
        check_counts(adata, "x")
    check_counts(adata, "x", allow_non_counts=True)


def test_the_largest_exact_count():
    check_counts(AnnData(sparse.csr_matrix(np.array([[2**24 - 1]], dtype=np.int64))), "x")
