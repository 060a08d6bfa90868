import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError
from discern.evaluation import sampling
from discern.evaluation.sampling import choose_cells, choose_genes, deepest_batch, type_codes

BATCHES = np.array(["a"] * 40 + ["b"] * 100 + ["c"] * 60)


def parts(sample):
    return sample.others, sample.reference, sample.learnt


@pytest.mark.parametrize(("n_cells", "sizes"), [(40, (20, 10, 10)), (120, (80, 20, 20)), (999, (160, 20, 20))])
def test_cells_of_both_sides_up_to_the_number_asked_for(n_cells, sizes):
    sample = choose_cells(BATCHES, "a", n_cells, np.random.default_rng(0))
    assert tuple(map(len, parts(sample))) == sizes
    chosen = np.concatenate(parts(sample))
    assert len(set(chosen)) == len(chosen)
    assert set(BATCHES[sample.others]) == {"b", "c"}
    assert set(BATCHES[np.concatenate(parts(sample)[1:])]) == {"a"}
    assert all((np.diff(part) > 0).all() for part in parts(sample))


def test_cells_follow_the_seed():
    first, again, other = (choose_cells(BATCHES, "a", 40, np.random.default_rng(seed)).others for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_unknown_target_and_too_few_cells_are_refused():
    with pytest.raises(DataError, match=r"'x' is no batch of these cells. Found: a, b, c"):
        choose_cells(BATCHES, "x", 40, np.random.default_rng(0))
    with pytest.raises(DataError, match=r"received 4 and 4\. Raise --cells"):
        choose_cells(BATCHES, "a", 8, np.random.default_rng(0))
    with pytest.raises(DataError, match="--thin FRACTION"):
        choose_cells(np.full(90, "a"), "a", 80, np.random.default_rng(0))


def test_the_deepest_batch_has_the_largest_median():
    library_size = np.concatenate(
        [np.full(40, 900.0), np.full(100, 1000.0), np.r_[np.full(31, 100.0), np.full(29, 1e9)]]
    )
    assert deepest_batch(BATCHES, library_size) == "b"


def test_types_that_every_part_has_enough_of():
    labels = pd.Series(["T"] * 60 + ["B"] * 60 + ["rare"] * 21 + ["Unlabelled"] * 40 + [None] * 40)
    everywhere, without_rare = np.arange(221), np.r_[0:140]
    codes, names = type_codes(labels, [everywhere, without_rare])
    assert names == ["B", "T", "rare"]
    assert list(np.unique(codes, return_counts=True)[1]) == [80, 60, 60, 21]
    assert type_codes(labels, [everywhere, np.r_[0:130]])[1] == ["B", "T"]


def test_many_types_are_the_largest_of_them(monkeypatch):
    monkeypatch.setattr(sampling, "MOST_TYPES", 2)
    labels = pd.Series(pd.Categorical(np.repeat([3, 1, 2], [30, 50, 40])))
    codes, names = type_codes(labels, [np.arange(120)])
    assert names == ["1", "2"]
    assert set(codes[:30]) == {-1}


def test_the_genes_that_vary_most_of_those_allowed(monkeypatch):
    values = np.random.default_rng(0).normal(5, np.arange(1, 9), (50, 8))
    allowed = np.arange(8) != 6
    monkeypatch.setattr(sampling, "MOST_GENES", 3)
    slow = sorted(sorted(np.flatnonzero(allowed), key=lambda gene: -np.var(values[:, gene]))[:3])
    assert list(choose_genes(sparse.csr_matrix(values), allowed)) == slow
    monkeypatch.setattr(sampling, "MOST_GENES", 99)
    assert list(choose_genes(sparse.csr_matrix(values), allowed)) == list(np.flatnonzero(allowed))
