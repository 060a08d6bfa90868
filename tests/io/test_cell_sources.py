"""What the sources hold in memory, and that it has no part in which cells an epoch has."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from discern.io import cell_sources
from discern.io.cell_sources import RecordSource
from discern.io.record_files import uncompressed_bytes
from discern.io.record_schema import TRAINING
from discern.io.tfrecord_writer import TFRecordsWriter, write_records

N_TRAIN = 60


@pytest.fixture
def write(make_counts, make_processed, tmp_path, monkeypatch):
    """Writer of 60 training cells; the library size tells them apart."""

    def build(cells_per_shard=1000):
        monkeypatch.setattr(TFRecordsWriter.__init__, "__defaults__", (cells_per_shard,))
        data = make_processed(make_counts(80, 24))
        data.obs["n_counts"] = np.arange(80) + 1
        write_records(data, tmp_path / "records")
        return tmp_path / "records"

    return build


def in_order(source) -> list[int]:
    return [int(cell) for minibatch in source.in_order(7) for cell in minibatch["library_size"]]


def shuffled(source, batch_size, seeds) -> list[list[int]]:
    """The cells of every minibatch."""
    dataset = source.shuffled(batch_size, tf.data.Dataset.from_tensor_slices(np.asarray(seeds, np.int64)))
    return [minibatch["library_size"].astype(int).tolist() for minibatch in dataset.as_numpy_iterator()]


def joined(minibatches) -> list[int]:
    return list(itertools.chain.from_iterable(minibatches))


def blocks(folder, monkeypatch, smallest) -> RecordSource:
    monkeypatch.setattr(cell_sources, "_SMALLEST_BLOCK", smallest)
    return RecordSource(folder, TRAINING, memory_budget=1)


def test_a_split_within_the_budget_is_read_once(write):
    folder = write(cells_per_shard=25)
    seeds = tf.data.Dataset.counter()
    minibatches = RecordSource(folder, TRAINING).shuffled(20, seeds).as_numpy_iterator()
    epochs = [[next(minibatches)["library_size"].tolist() for _ in range(3)]]
    next(minibatches)
    for path in folder.glob("*.tfrecords"):
        path.unlink()
    found = [next(minibatches)["library_size"].tolist() for _ in range(8)]
    assert len(set(joined(found[2:5]))) == len(set(joined(found[5:]))) == N_TRAIN
    assert joined(found[2:5]) != joined(found[5:]) != joined(epochs[0])


@pytest.mark.parametrize(("smallest", "batch_size", "block"), [(20, 20, 20), (45, 20, 40), (30, 15, 30), (7, 12, 12)])
def test_beyond_the_budget_whole_minibatches_are_shuffled_in_blocks(write, monkeypatch, smallest, batch_size, block):
    source = blocks(write(), monkeypatch, smallest)
    written = in_order(source)
    found = joined(shuffled(source, batch_size, [3]))
    assert len(found) == N_TRAIN // batch_size * batch_size
    for start in range(0, N_TRAIN - block, block):
        part = found[start : start + block]
        assert set(part) == set(written[start : start + block])
        assert part != written[start : start + block]


def test_the_bytes_of_the_records_decide_the_block(write, monkeypatch):
    folder = write()
    monkeypatch.setattr(cell_sources, "_SMALLEST_BLOCK", 1)
    total = sum(uncompressed_bytes(path) for path in folder.glob("training*"))
    budget = total - total // N_TRAIN  # half of it holds 29.5 records
    source = RecordSource(folder, TRAINING, memory_budget=budget)
    first = joined(shuffled(source, 5, [0]))[:25]
    assert set(first) == set(in_order(source)[:25])
    held = joined(shuffled(RecordSource(folder, TRAINING, memory_budget=total), 5, [0]))[:25]
    assert set(held) != set(first)


@pytest.mark.parametrize("smallest", [20, 1000])
def test_the_order_follows_from_the_seed_alone(write, monkeypatch, smallest):
    source = blocks(write(cells_per_shard=8), monkeypatch, smallest)
    both = shuffled(source, 10, [4, 9])
    assert both == shuffled(source, 10, [4, 9])
    assert both == shuffled(source, 10, [4]) + shuffled(source, 10, [9])
    assert sorted(joined(both[:6])) == sorted(joined(both[6:])) == sorted(in_order(source))
    assert both[:6] != both[6:]


def test_the_order_stays_that_of_earlier_runs(write, monkeypatch):
    """A change of it would change what training taken up after an upgrade has seen."""
    folder = write(cells_per_shard=8)
    held = joined(shuffled(RecordSource(folder, TRAINING), 10, [5]))[:5]
    in_blocks = joined(shuffled(blocks(folder, monkeypatch, 20), 10, [5]))[:5]
    assert held == [27, 31, 9, 69, 70]
    assert in_blocks == [27, 19, 69, 61, 50]


def test_shards_take_turns(write, monkeypatch):
    monkeypatch.setattr(cell_sources, "_CELLS_IN_TURN", 4)
    folder = write(cells_per_shard=20)
    source = RecordSource(folder, TRAINING)
    found = in_order(source)
    one_by_one = [
        int(tf.io.parse_single_example(record, {"library_size": tf.io.FixedLenFeature([], tf.float32)})["library_size"])
        for path in sorted(folder.glob("training*"))
        for record in tf.data.TFRecordDataset(str(path), compression_type="GZIP")
    ]
    expected = np.array(one_by_one).reshape(3, 5, 4).swapaxes(0, 1).ravel()
    assert found == expected.tolist()
