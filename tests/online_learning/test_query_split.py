import logging

import numpy as np
import pytest

from discern.online_learning.query_split import split_query
from discern.preprocessing.config import SplitConfig
from discern.preprocessing.splitting import split_cells


def batches_of(*sizes) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))


def test_large_batches_are_split_as_process_does():
    batch, split = batches_of(40, 25, 31), SplitConfig(valid_cells=0.1, test_cells=0.1)
    expected = split_cells(np.random.RandomState(3), batch, ["a", "b", "c"], split)
    np.testing.assert_array_equal(split_query(np.random.RandomState(3), batch, ["a", "b", "c"], split), expected)


def test_small_batches_are_trained_on_and_named_and_the_others_are_split(caplog):
    batch, split = batches_of(40, 3, 25, 9), SplitConfig(valid_cells=0.1, test_cells=0.2)
    with caplog.at_level(logging.WARNING):
        roles = split_query(np.random.RandomState(3), batch, list("abcd"), split)
    assert caplog.messages == [
        "valid_cells 0.1 gives no validation cell in batch 'b' (3 cells), 'd' (9 cells): all its cells are trained on"
    ]
    for code, valid, test in ((0, 4, 8), (1, 0, 0), (2, 2, 5), (3, 0, 0)):
        of_batch = roles[batch == code]
        assert ((of_batch == "valid").sum(), (of_batch == "test").sum()) == (valid, test)
        assert (of_batch == "train").sum() == len(of_batch) - valid - test


def test_without_balance_all_cells_are_one_group():
    split = SplitConfig(valid_cells=0.1, balanced_split=False)
    assert (split_query(np.random.RandomState(0), batches_of(6, 6), ["a", "b"], split) == "valid").sum() == 1
    assert (split_query(np.random.RandomState(0), batches_of(4, 5), ["a", "b"], split) == "train").all()


@pytest.mark.parametrize("n_cells", [1, 50])
def test_a_number_of_cells_meant_for_the_reference_takes_no_cell(n_cells):
    with pytest.warns(FutureWarning):
        split = SplitConfig(valid_cells=50)
    assert (split_query(np.random.RandomState(0), np.zeros(n_cells, dtype=int), ["a"], split) == "train").all()
