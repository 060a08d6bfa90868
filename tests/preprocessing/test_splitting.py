import logging

import numpy as np
import pytest

from discern.errors import DataError
from discern.preprocessing.config import SplitConfig
from discern.preprocessing.split_summary import split_summary
from discern.preprocessing.splitting import draw_for_mmd, smallest_ratio, split_cells, split_sizes

BATCH = np.repeat([0, 1, 2], [100, 40, 11])
NAMES = ["a", "b", "c"]


def roles_of(seed=0, batch=BATCH, names=NAMES, **split):
    return split_cells(np.random.RandomState(seed), batch, names, SplitConfig(split_seed=seed, **split))


def per_batch(mask, batch=BATCH):
    return list(np.bincount(batch[mask], minlength=3))


def test_ratio_holds_within_every_batch():
    roles = roles_of(valid_cells=0.25)
    assert per_batch(roles == "valid") == [25, 10, 2]
    assert set(roles) == {"train", "valid"}


def test_batches_are_drawn_one_after_the_other_by_one_generator():
    rng = np.random.RandomState(3)
    expected = [rng.choice(np.flatnonzero(code == BATCH), n, replace=False) for code, n in ((0, 20), (1, 8), (2, 2))]
    assert set(np.flatnonzero(roles_of(3, valid_cells=0.2) == "valid")) == set(np.concatenate(expected))


def test_unbalanced_ratio_holds_over_all_cells():
    roles = roles_of(valid_cells=0.1, balanced_split=False)
    assert (roles == "valid").sum() == int(0.1 * 151)
    drawn = np.random.RandomState(0).choice(151, 15, replace=False)
    assert set(np.flatnonzero(roles == "valid")) == set(drawn)


def test_unbalanced_split_reports_batches_left_out(caplog):
    with caplog.at_level(logging.WARNING):
        roles_of(valid_cells=0.01, balanced_split=False)
    assert "in the split 'valid'" in caplog.text


def test_test_cells_come_from_the_rest_and_leave_the_validation_cells_alone():
    without, with_test = roles_of(), roles_of(test_cells=0.2)
    assert per_batch(with_test == "test") == [20, 8, 2]
    assert ((without == "valid") == (with_test == "valid")).all()
    assert (roles_of(test_cells=0.2) == with_test).all()
    assert not (roles_of(seed=1, test_cells=0.2) == with_test).all()


def test_a_number_of_cells_is_shared_out_by_size():
    assert list(split_sizes(30, np.array([100, 40, 11]))) == [20, 8, 2]
    assert list(split_sizes(31, np.array([100, 40, 11]))) == [21, 8, 2]
    with pytest.raises(DataError, match="200 cells cannot be set aside from 151"):
        split_sizes(200, np.array([100, 40, 11]))


def test_a_batch_without_validation_cells_is_named_with_the_ratio_that_works():
    batch = np.repeat([0, 1], [100, 7])
    with pytest.raises(DataError, match=r"batch 'small' \(7 cells\)\. Use at least 0\.1429") as caught:
        roles_of(batch=batch, names=["large", "small"])
    ratio = float(str(caught.value).split("at least ")[1].split(",")[0])
    roles = roles_of(batch=batch, names=["large", "small"], valid_cells=ratio)
    assert (roles[batch == 1] == "valid").sum() == 1


def test_a_batch_of_one_cell_must_be_left_out():
    with pytest.raises(DataError, match=r"'single' \(1 cell\)\. Leave these cells out"):
        roles_of(batch=np.repeat([0, 1], [100, 1]), names=["large", "single"])


def test_no_cell_left_to_train_on():
    with pytest.warns(FutureWarning, match="deprecated"):
        split = SplitConfig(valid_cells=100, test_cells=0.4)
    with pytest.raises(DataError, match="leave no cell to train on"):
        split_cells(np.random.RandomState(0), BATCH, NAMES, split)


@pytest.mark.parametrize("n_cells", [2, 3, 7, 49, 98, 9_999, 123_457])
def test_smallest_ratio_is_enough_and_hardly_more(n_cells):
    assert int(smallest_ratio(n_cells) * n_cells) == 1
    assert int(smallest_ratio(n_cells) * 0.99 * n_cells) == 0


def test_all_cells_for_mmd_do_not_touch_the_generator():
    rng = np.random.RandomState(0)
    valid = BATCH == 1
    drawn = draw_for_mmd(rng, 1.0, valid, BATCH)
    assert (drawn == valid).all()
    assert rng.randint(10**9) == np.random.RandomState(0).randint(10**9)


def test_cells_for_mmd_follow_the_frequency_of_their_group():
    groups = np.repeat([0, 1], [900, 100])
    valid = np.zeros(1000, dtype=bool)
    valid[800:] = True  # 100 cells of each group, the first nine times as frequent among all cells
    drawn = draw_for_mmd(np.random.RandomState(0), 0.25, valid, groups)
    assert drawn.sum() == 50
    assert not (drawn & ~valid).any()
    assert (drawn & (groups == 0)).sum() > 3 * (drawn & (groups == 1)).sum()


def test_numbers_of_cells_for_mmd():
    valid = BATCH == 1
    assert draw_for_mmd(np.random.RandomState(0), 12, valid, BATCH).sum() == 12
    assert draw_for_mmd(np.random.RandomState(0), 500, valid, BATCH).sum() == 40
    with pytest.raises(DataError, match="0.001 of 40 validation cells is no cell"):
        draw_for_mmd(np.random.RandomState(0), 0.001, valid, BATCH)


def test_summary_counts_every_role():
    roles = roles_of(test_cells=0.2)
    summary = split_summary(roles, BATCH, NAMES)
    assert summary["valid_cells_no"] == {"a": 10, "b": 4, "c": 1}
    assert summary["test_cells_no"] == {"a": 20, "b": 8, "c": 2}
    assert summary["train_cells_no"] == {"a": 70, "b": 28, "c": 8}
    assert (summary["total_count"], summary["total_test_count"]) == (151, 30)
    assert summary["batch_ratios"] == pytest.approx({"a": 100 / 151, "b": 40 / 151, "c": 11 / 151})
    assert "total_test_count" not in split_summary(roles_of(), BATCH, NAMES)
