"""Genes that a data set did not measure, on their way from processed data to what a network reads."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from discern.io import stored_records
from discern.io.cell_sources import MemorySource, RecordSource
from discern.io.cell_store import CellStore, Piece
from discern.io.data import DISCERNData
from discern.io.minibatches import minibatches, reshuffled_minibatches, training_minibatches
from discern.io.published_cells import make_dataset_from_anndata
from discern.io.record_schema import SCHEMA_FILE, TRAINING, VALIDATION, RecordSchema
from discern.io.stored_records import write_stored_records
from discern.io.tfrecord_writer import TFRecordsWriter, record_orders, write_records
from discern.workers import ThisProcess, worker_processes


@pytest.fixture
def data(make_counts, make_processed, with_panels) -> DISCERNData:
    """60 cells, 45 of them to train on; the library size tells them apart."""
    data = with_panels(make_processed(make_counts(60, 14)))
    data.obs["n_counts"] = np.arange(60.0) + 50
    data.uns["fixed_scaling"] = {"mean": "genes", "var": "genes", "add_to_mean": -0.5}
    return data


def numbers_of(minibatch) -> list[int]:
    """Which cells a minibatch holds."""
    return [int(total) - 50 for total in minibatch["library_size"]]


def test_minibatches_hold_the_mean_where_a_gene_was_not_measured(source, data, measured_genes):
    expected_mean = (data.var["mean_scaling"] - (data.var["mean_scaling"] - 0.5)) / data.var["var_scaling"]
    expected = data.transform.dense(data.layers["counts"], data.obs["n_counts"].to_numpy())
    seen = []
    for minibatch in training_minibatches(source, data.transform, 15, seed=1).take(3).as_numpy_iterator():
        cells = numbers_of(minibatch)
        seen += cells
        measured = measured_genes(data)[cells]
        np.testing.assert_array_equal(minibatch["measured"], measured)
        assert minibatch["measured"].dtype == np.float32
        found = minibatch["expression"]
        np.testing.assert_allclose(found[measured], expected[cells][measured], rtol=1e-5, atol=1e-5)
        unmeasured = np.broadcast_to(expected_mean, found.shape)[~measured]
        np.testing.assert_allclose(found[~measured], unmeasured, rtol=1e-4)
        np.testing.assert_array_equal(found[~measured], np.broadcast_to(data.transform.fill, found.shape)[~measured])
    assert len(set(seen)) == 45


def test_records_memory_and_projection_give_the_same(data, tmp_path):
    write_records(data, tmp_path / "records")
    order = np.random.default_rng(0).permutation(data.cells_of("train"))
    sources = RecordSource(tmp_path / "records", TRAINING), MemorySource(data, data.batches, order)
    without_log = replace(data.transform, log=False)  # NumPy and TensorFlow have logarithms of their own
    from_records, from_memory = (next(minibatches(one, without_log, 45).as_numpy_iterator()) for one in sources)
    assert from_records.keys() == from_memory.keys() == {"expression", "batch", "library_size", "measured"}
    for name, array in from_records.items():
        np.testing.assert_array_equal(array, from_memory[name])
    library_size = data.obs["n_counts"].to_numpy()
    dense = without_log.dense(data.layers["counts"][order], library_size[order], from_memory["measured"] > 0)
    np.testing.assert_allclose(from_memory["expression"], dense, rtol=2e-6)
    np.testing.assert_array_equal(from_memory["expression"] == without_log.fill, dense == without_log.fill)


def test_a_subset_of_the_cells_keeps_the_panels_of_its_cells(data, measured_genes):
    cells = np.array([7, 2, 31])
    (found,) = minibatches(MemorySource(data, data.batches, cells), data.transform, 3).as_numpy_iterator()
    np.testing.assert_array_equal(found["measured"], measured_genes(data)[cells])


def test_shapes_are_known_while_training(source, data):
    spec = training_minibatches(source, data.transform, 15, seed=0).element_spec
    assert spec["measured"] == tf.TensorSpec((15, 14), tf.float32)
    assert spec["expression"].shape == (15, 14)
    spec = reshuffled_minibatches(source, data.transform, 15, seed=0).element_spec
    assert spec["measured"].shape == (15, 14)


def test_published_pairs_tell_what_was_measured(data, measured_genes):
    data.batch_size = 60
    (_, targets), (_, published) = (next(iter(one)) for one in (data.tfdata[1], make_dataset_from_anndata(data)))
    np.testing.assert_array_equal(targets["measured"], measured_genes(data)[record_orders(data.obs)["validate"]])
    np.testing.assert_array_equal(published["measured"], measured_genes(data)[0])
    del data.varm["measured"]
    assert set(next(iter(data.tfdata[1]))[1]) == {"decoder_counts", "decoder_dropouts"}


def stored(counts, folder) -> CellStore:
    folder.mkdir()
    bounds = [0, 11, 30, 31, counts.shape[0]]
    pieces = [
        Piece.write(folder / f"{start}.npz", counts[start:stop])
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    return CellStore(counts.shape[1], tuple(pieces))


@pytest.mark.parametrize("panelled", [True, False])
def test_records_from_disk_are_those_from_memory(data, tmp_path, monkeypatch, panelled):
    monkeypatch.setattr(stored_records, "CELLS_PER_SHARD", 13)
    monkeypatch.setattr(TFRecordsWriter.__init__, "__defaults__", (13,))
    if not panelled:
        del data.varm["measured"]
    expected = write_records(data, tmp_path / "memory", seed=3)
    store = stored(data.layers["counts"], tmp_path / "store")
    with worker_processes(2) as workers:
        for name, by in (("one", ThisProcess()), ("two", workers)):
            found = write_stored_records(data, store, tmp_path / name, tmp_path / "scratch", by, seed=3)
            assert found == expected
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("memory", "one", "two")
    ]
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) > 4
    assert expected.version == (2 if panelled else 1)


def test_the_schema_lists_the_genes_in_the_order_of_the_table(data, tmp_path):
    write_records(data, tmp_path / "records")
    schema = RecordSchema.read(tmp_path / "records")
    assert schema.unmeasured == [list(range(1, 14, 3)), list(range(2, 14, 3))]
    for split in (TRAINING, VALIDATION):
        np.testing.assert_array_equal(RecordSource(tmp_path / "records", split).panels, schema.panels)


@pytest.mark.parametrize("table", ["absent", "all measured"])
def test_data_that_measured_everything_have_the_records_they_had(data, tmp_path, table):
    measured = data.varm["measured"]
    del data.varm["measured"]
    write_records(data, tmp_path / "plain")
    if table != "absent":
        data.varm["measured"] = measured | True
    write_records(data, tmp_path / "records")
    for path in (tmp_path / "plain").iterdir():
        assert (tmp_path / "records" / path.name).read_bytes() == path.read_bytes()
    source = RecordSource(tmp_path / "records", TRAINING)
    assert source.panels is None
    assert set(next(iter(source.in_order(4)))) == {"splits", "gene", "value", "batch", "library_size"}
    assert "unmeasured" not in (tmp_path / "records" / SCHEMA_FILE).read_text()
