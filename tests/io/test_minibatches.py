"""Minibatches: the same numbers from records and from memory, in an order that only seed and epoch decide."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError, ExperimentError
from discern.io.cell_sources import MemorySource, RecordSource
from discern.io.data import DISCERNData
from discern.io.minibatches import minibatches, minibatches_per_epoch, reshuffled_minibatches, training_minibatches
from discern.io.record_schema import TRAINING, VALIDATION
from discern.io.tfrecord_writer import write_records
from discern.io.transform import InputTransform

N_GENES = 24
PLAIN = InputTransform()


@pytest.fixture
def data(make_counts, make_processed) -> DISCERNData:
    """80 cells, 60 of them to train on; gene 0 tells the cells apart."""
    counts = make_counts(80, N_GENES).tolil()
    counts[:, 0] = np.arange(1, 81)[:, None]
    return make_processed(counts.tocsr())


def slow_expression(data: DISCERNData, cells: np.ndarray) -> np.ndarray:
    """Scaled log expression in float64."""
    counts = data.layers["counts"][cells].toarray().astype(np.float64)
    total = data.obs["n_counts"].to_numpy(dtype=np.float64)[cells, None]
    mean, std = (data.var[name].to_numpy() for name in ("mean_scaling", "var_scaling"))
    return (np.log1p(counts * 1000.0 / total) - mean) / std


def identities(dataset, n_minibatches) -> list[list[int]]:
    """Gene 0 of every cell, one list per minibatch."""
    return [
        minibatch["expression"][:, 0].astype(int).tolist()
        for minibatch in dataset.take(n_minibatches).as_numpy_iterator()
    ]


def epochs(source, seed, first_epoch=0, n_epochs=1, batch_size=20):
    dataset = training_minibatches(source, PLAIN, batch_size, seed, first_epoch)
    per_epoch = minibatches_per_epoch(source, batch_size)
    cells = identities(dataset, per_epoch * n_epochs)
    return [sum(cells[i * per_epoch : (i + 1) * per_epoch], []) for i in range(n_epochs)]


def test_sources_know_their_sizes(source):
    assert (source.n_cells, source.n_genes, source.n_batches) == (60, N_GENES, 2)


def test_expression_is_that_of_the_formula(data):
    source = MemorySource(data, data.batches)
    found = np.concatenate([one["expression"] for one in minibatches(source, data.transform, 16).as_numpy_iterator()])
    expected = slow_expression(data, np.arange(80))
    np.testing.assert_allclose(found, expected, atol=5e-6 * np.abs(expected).max())


def test_records_and_memory_give_the_same(data, tmp_path):
    write_records(data, tmp_path / "records")
    for split, memory in zip((TRAINING, VALIDATION), data.sources(data.batches), strict=True):
        sources = RecordSource(tmp_path / "records", split), memory
        pairs = zip(*(minibatches(one, data.transform, 16).as_numpy_iterator() for one in sources), strict=True)
        for from_records, from_memory in pairs:
            assert from_records.keys() == from_memory.keys() == {"expression", "batch", "library_size"}
            for name, array in from_records.items():
                np.testing.assert_array_equal(array, from_memory[name])
        from_records, from_memory = (epochs(one, seed=3, n_epochs=2, batch_size=8) for one in sources)
        assert from_records == from_memory


def test_validation_mixes_batches(make_counts, make_processed):
    """A minibatch of one batch is far from the prior, however well batches mix."""
    counts = make_counts(240, N_GENES)
    data = make_processed(counts)
    data.obs["batch"] = pd.Categorical(np.repeat(["first", "second"], 120), categories=["first", "second"])
    valid = data.sources(data.batches)[1]
    shares = [one["batch"][:, 0].mean() for one in minibatches(valid, PLAIN, 20).as_numpy_iterator()]
    assert len(shares) == 3 and all(0.2 < share < 0.8 for share in shares)


def test_labels_and_library_sizes_belong_to_the_cells(source, data):
    number = {int(value): i for i, value in enumerate(data.layers["counts"][:, 0].toarray().ravel())}
    for minibatch in minibatches(source, PLAIN, 16).as_numpy_iterator():
        cells = [number[int(value)] for value in minibatch["expression"][:, 0]]
        np.testing.assert_array_equal(minibatch["batch"], np.eye(2)[data.obs["batch"].cat.codes.to_numpy()[cells]])
        np.testing.assert_array_equal(minibatch["library_size"], data.obs["n_counts"].to_numpy()[cells])
        np.testing.assert_array_equal(minibatch["expression"], data.layers["counts"][cells].toarray())


def test_zeros_are_bit_identical_to_transformed_zero_counts(source, data):
    zeros = data.zeros
    assert np.abs(zeros).max() > 10  # where float32 is coarser than the tolerance of the cross entropy
    both = (minibatches(source, transform, 16).as_numpy_iterator() for transform in (PLAIN, data.transform))
    for counts, scaled in zip(*both, strict=True):
        is_zero = scaled["expression"] == zeros
        np.testing.assert_array_equal(is_zero, counts["expression"] == 0)


def test_cells_without_counts_are_all_zeros(make_counts, make_processed, tmp_path):
    counts = sparse.vstack([sparse.csr_matrix((5, 10), dtype=np.float32), make_counts(7, 10)], format="csr")
    data = make_processed(counts)
    (minibatch,) = minibatches(MemorySource(data, data.batches), data.transform, 12).as_numpy_iterator()
    np.testing.assert_array_equal(minibatch["expression"][:5], np.tile(data.zeros, (5, 1)))
    expected = data.transform.dense(counts, data.obs["n_counts"].to_numpy())
    np.testing.assert_allclose(minibatch["expression"], expected, rtol=1e-5, atol=1e-5)


def test_minibatches_are_those_of_the_transform(source, data):
    """Bit for bit those of projection: the logarithms of TensorFlow and NumPy differ in the last bit, nothing else."""
    number = {int(value): i for i, value in enumerate(data.layers["counts"][:, 0].toarray().ravel())}
    without_log = replace(data.transform, log=False, library_size=None)
    both = (minibatches(source, transform, 16).as_numpy_iterator() for transform in (PLAIN, without_log))
    for counts, scaled in zip(*both, strict=True):
        cells = [number[int(value)] for value in counts["expression"][:, 0]]
        expected = without_log.dense(data.layers["counts"][cells], counts["library_size"])
        np.testing.assert_array_equal(scaled["expression"], expected)


def test_unshuffled_minibatches_keep_the_last_small_one(source):
    sizes = [len(one["batch"]) for one in minibatches(source, PLAIN, 16).as_numpy_iterator()]
    assert sizes == [16, 16, 16, 12]
    assert minibatches(source, PLAIN, 16).cardinality() == 4
    assert identities(minibatches(source, PLAIN, 16), -1) == identities(minibatches(source, PLAIN, 16), -1)


def test_every_epoch_is_a_permutation(source, data):
    expected = sorted(data.layers["counts"][data.cells_of("train"), 0].toarray().ravel().astype(int))
    found = epochs(source, seed=3, n_epochs=4)
    assert [sorted(epoch) for epoch in found] == [expected] * 4
    assert len({tuple(epoch) for epoch in found}) == 4


def test_the_seed_decides_the_order(source):
    assert epochs(source, seed=3, n_epochs=2) == epochs(source, seed=3, n_epochs=2)
    assert epochs(source, seed=3, n_epochs=2) != epochs(source, seed=4, n_epochs=2)


@pytest.mark.parametrize("first", [1, 2, 4])
def test_training_can_be_taken_up_at_any_epoch(source, first):
    assert epochs(source, seed=3, first_epoch=first, n_epochs=2) == epochs(source, seed=3, n_epochs=first + 2)[first:]


def test_cells_that_fill_no_minibatch_are_left_out_of_an_epoch_not_of_training(source):
    assert minibatches_per_epoch(source, 25) == 2
    first, *others = epochs(source, seed=0, n_epochs=12, batch_size=25)
    assert len(set(first)) == 50
    assert len(set(first).union(*others)) == 60


def test_a_small_source_makes_one_minibatch(source):
    assert minibatches_per_epoch(source, 1000) == 1
    (cells,) = identities(training_minibatches(source, PLAIN, 1000, seed=0), 1)
    assert len(set(cells)) == 60


def test_one_epoch_is_shuffled_anew_each_time(source):
    dataset, again = (reshuffled_minibatches(source, PLAIN, 25, seed=5) for _ in range(2))
    orders = [sum(identities(dataset, -1), []) for _ in range(8)]
    assert len({tuple(order) for order in orders}) == 8
    assert {len(set(order)) for order in orders} == {50}
    assert len(set().union(*orders)) == 60
    assert sum(identities(again, -1), []) == orders[0]
    assert dataset.cardinality() == 2


def test_training_minibatches_have_a_known_shape(source):
    spec = training_minibatches(source, PLAIN, 20, seed=0).element_spec
    assert spec["expression"].shape == (20, N_GENES)


def test_all_batches_share_the_first_minibatches(make_counts, make_processed, tmp_path, monkeypatch):
    """Records of cells sorted by batch still mix them."""
    data = make_processed(make_counts(200, 10))
    data.obs["batch"] = data.obs["batch"].cat.codes.sort_values().to_numpy()
    data.obs["batch"] = data.obs["batch"].map({0: "low", 1: "high"}).astype("category")
    write_records(data, tmp_path / "records")
    first = next(iter(minibatches(RecordSource(tmp_path / "records", TRAINING), PLAIN, 20)))
    assert set(first["batch"].numpy().argmax(axis=1)) == {0, 1}


def test_missing_record_files_are_told(data, tmp_path):
    write_records(data, tmp_path / "records")
    (tmp_path / "records" / "validate-00000.tfrecords").unlink()
    assert RecordSource(tmp_path / "records", TRAINING).n_cells == 60
    with pytest.raises(ExperimentError, match=r"Record files are missing: .*validate-00000.tfrecords.*process --force"):
        RecordSource(tmp_path / "records", VALIDATION)


def test_unknown_batches_are_refused(data):
    with pytest.raises(DataError, match="40 cells belong to batches the model does not know: high"):
        MemorySource(data, ["low", "other"])


def test_batches_are_matched_by_name(data):
    (minibatch,) = minibatches(MemorySource(data, ["high", "new", "low"]), PLAIN, 80).as_numpy_iterator()
    expected = np.where(data.obs["batch"] == "high", 0, 2)
    np.testing.assert_array_equal(minibatch["batch"].argmax(axis=1), expected)
    assert minibatch["batch"].shape == (80, 3)


@pytest.mark.parametrize("global_seed", [0, 7])
def test_the_order_does_not_depend_on_the_global_seed(source, global_seed):
    """TensorFlow refuses a shuffle whose seed is a tensor when the global seed is 0, and mixes any other one in."""
    import tensorflow as tf

    def orders() -> list[list[int]]:
        cells = training_minibatches(source, PLAIN, 20, seed=3)
        return identities(cells, 6)

    before = orders()
    tf.random.set_seed(global_seed)
    try:
        assert orders() == before
    finally:
        tf.random.set_seed(None)
