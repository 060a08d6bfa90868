"""Writing records and reading them back: the counts come back exactly."""

import numpy as np
import pytest
from scipy import sparse

from discern.errors import DataError
from discern.io.cell_sources import MemorySource, RecordSource
from discern.io.published_cells import make_dataset_from_anndata
from discern.io.record_schema import TRAINING, VALIDATION, RecordSchema
from discern.io.tfrecord_writer import TFRecordsWriter, write_records


def read_back(folder, split, n_genes):
    """Return (counts, batch, library size) of all cells of a split in the order of the files."""
    source = RecordSource(folder, split)
    counts, batch, library_size = [], [], []
    for cells in source.in_order(7).as_numpy_iterator():
        shape = (len(cells["batch"]), n_genes)
        counts.append(sparse.csr_matrix((cells["value"], cells["gene"], cells["splits"]), shape=shape))
        batch.extend(cells["batch"])
        library_size.extend(cells["library_size"])
    return sparse.vstack(counts).toarray(), np.array(batch), np.array(library_size)


def written_order(data, seed=0):
    """The cells of both splits in the order they are written."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.permutation(np.flatnonzero(data.obs["split"] == label))
        for name, label in ((TRAINING, "train"), (VALIDATION, "valid"))
    }


def assert_same_cells(data, folder, seed=0):
    for split, order in written_order(data, seed).items():
        counts, batch, library_size = read_back(folder, split, data.n_vars)
        np.testing.assert_array_equal(counts, data.layers["counts"][order].toarray())
        np.testing.assert_array_equal(batch, data.obs["batch"].cat.codes.to_numpy()[order])
        np.testing.assert_array_equal(library_size, data.obs["n_counts"].to_numpy(dtype=np.float32)[order])


@pytest.mark.parametrize(
    ("highest", "value_dtype"), [(255, "|u1"), (65_535, "<u2"), (16_777_216, "<u4"), (4_294_967_040, "<u4")]
)
def test_counts_of_every_width_come_back_exactly(make_counts, make_processed, tmp_path, highest, value_dtype):
    counts = make_counts(30, 40, highest=highest)
    counts.data[0] = highest
    data = make_processed(counts)
    schema = write_records(data, tmp_path / "records")
    assert (schema.gene_dtype, schema.value_dtype) == ("<u2", value_dtype)
    assert_same_cells(data, tmp_path / "records")


def test_fractional_values_come_back_exactly(make_counts, make_processed, tmp_path):
    counts = make_counts(12, 20) * np.float32(0.3)
    data = make_processed(counts)
    assert write_records(data, tmp_path / "records").value_dtype == "<f4"
    assert_same_cells(data, tmp_path / "records")


def test_more_genes_than_two_bytes_can_number(make_processed, tmp_path):
    n_genes = 2**16 + 300
    rng = np.random.default_rng(1)
    counts = sparse.random(8, n_genes, density=1e-3, random_state=rng, format="csr", dtype=np.float32)
    counts.data = np.ceil(counts.data * 5)
    counts = sparse.hstack([counts[:, :-1], np.full((8, 1), 3, dtype=np.float32)], format="csr")
    data = make_processed(counts)
    assert write_records(data, tmp_path / "records").gene_dtype == "<u4"
    assert_same_cells(data, tmp_path / "records")


def test_cells_without_counts_come_back_empty(make_counts, make_processed, tmp_path):
    counts = make_counts(16, 10).tolil()
    counts[2] = 0
    counts[3] = 0
    counts[15] = 0
    data = make_processed(counts.tocsr())
    write_records(data, tmp_path / "records")
    assert_same_cells(data, tmp_path / "records")


def test_only_cells_without_counts(make_processed, tmp_path):
    data = make_processed(sparse.csr_matrix((8, 5), dtype=np.float32))
    write_records(data, tmp_path / "records")
    assert_same_cells(data, tmp_path / "records")


def test_one_cell_of_each_split(make_counts, make_processed, tmp_path):
    data = make_processed(make_counts(4, 10))[2:].copy()
    schema = write_records(data, tmp_path / "records")
    assert (schema.n_cells(TRAINING), schema.n_cells(VALIDATION)) == (1, 1)
    assert_same_cells(data, tmp_path / "records")


def test_a_split_without_cells_has_no_shard(make_counts, make_processed, tmp_path):
    data = make_processed(make_counts(6, 10))
    data.obs["split"] = "train"
    schema = write_records(data, tmp_path / "records")
    assert schema.splits[VALIDATION] == []
    assert RecordSource(tmp_path / "records", VALIDATION).n_cells == 0


def test_test_cells_are_in_no_record(make_counts, make_processed, tmp_path):
    data = make_processed(make_counts(20, 10))
    data.obs["split"] = data.obs["split"].cat.add_categories("test")
    data.obs.loc[data.obs_names[:5], "split"] = "test"
    schema = write_records(data, tmp_path / "records")
    assert schema.n_cells(TRAINING) + schema.n_cells(VALIDATION) == 15
    assert_same_cells(data, tmp_path / "records")


@pytest.mark.parametrize(
    ("n_cells", "expected"), [(0, []), (1, [1]), (9, [9]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])]
)
def test_cells_are_divided_into_shards(tmp_path, n_cells, expected):
    shards = TFRecordsWriter(tmp_path, cells_per_shard=10).write_dataset((b"cell" for _ in range(n_cells)), "training")
    assert [shard.n_cells for shard in shards] == expected
    assert [shard.file for shard in shards] == [f"training-{i:05d}.tfrecords" for i in range(len(expected))]
    assert sorted(path.name for path in tmp_path.iterdir()) == [shard.file for shard in shards]


def test_several_shards_hold_every_cell_once(make_counts, make_processed, tmp_path, monkeypatch):
    monkeypatch.setattr(TFRecordsWriter.__init__, "__defaults__", (6,))
    data = make_processed(make_counts(60, 30))
    schema = write_records(data, tmp_path / "records")
    assert [shard.n_cells for shard in schema.splits[TRAINING]] == [6] * 7 + [3]
    counts, _, _ = read_back(tmp_path / "records", TRAINING, 30)
    expected = data.layers["counts"][(data.obs["split"] == "train").to_numpy()].toarray()
    np.testing.assert_array_equal(np.unique(counts, axis=0), np.unique(expected, axis=0))
    assert len(counts) == len(expected)


def test_the_seed_drives_the_order_and_nothing_else_does(make_counts, make_processed, tmp_path):
    data = make_processed(make_counts(40, 30))
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        write_records(data, tmp_path / name, seed=seed)
    files = {name: (tmp_path / name / "training-00000.tfrecords").read_bytes() for name in ("first", "again", "other")}
    assert files["first"] == files["again"]
    assert files["first"] != files["other"]
    assert_same_cells(data, tmp_path / "other", seed=2)


def test_writing_replaces_all_that_was_there(make_counts, make_processed, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "training-00009.tfrecords").write_bytes(b"old")
    write_records(make_processed(make_counts(20, 10)), folder)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["schema.json", "training-00000.tfrecords", "validate-00000.tfrecords"]


def test_interrupted_writing_leaves_what_was_there(make_counts, make_processed, tmp_path, monkeypatch):
    folder = tmp_path / "records"
    data = make_processed(make_counts(20, 10))
    write_records(data, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def cells_then_failure(*args):
        yield b"cell"
        raise OSError("disk full")

    monkeypatch.setattr("discern.io.tfrecord_writer.serialise_cells", cells_then_failure)
    with pytest.raises(OSError, match="disk full"):
        write_records(data, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_an_interrupted_shard_is_absent(tmp_path):
    def cells_then_failure():
        yield from [b"cell"] * 5
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TFRecordsWriter(tmp_path, cells_per_shard=4).write_dataset(cells_then_failure(), "training")
    assert [path.name for path in tmp_path.iterdir()] == ["training-00000.tfrecords"]


def test_batches_that_are_numbers_are_named_by_their_text(make_counts, make_processed, tmp_path):
    data = make_processed(make_counts(12, 10), batches=(2, 1))
    assert write_records(data, tmp_path / "records").batches == data.batches == ["2", "1"]
    assert RecordSchema.read(tmp_path / "records").batches == ["2", "1"]
    assert_same_cells(data, tmp_path / "records")


def test_data_without_counts_is_refused(make_counts, make_processed, tmp_path):
    data = make_processed(make_counts(8, 10))
    del data.layers["counts"]
    with pytest.raises(DataError, match="holds no layer 'counts'"):
        write_records(data, tmp_path / "records")


def test_the_published_way_of_writing(make_counts, make_processed, tmp_path):
    """``TFRecordsWriter(folder).write_dataset(make_dataset_from_anndata(adata, for_tfrecord=True), split)``."""
    data = make_processed(make_counts(9, 12))
    shards = TFRecordsWriter(tmp_path / "one").write_dataset(
        make_dataset_from_anndata(data, for_tfrecord=True), TRAINING
    )
    assert [shard.n_cells for shard in shards] == [9]
    write_records(data, tmp_path / "two")
    assert RecordSchema.read(tmp_path / "two").n_cells(TRAINING) == 7


@pytest.mark.parametrize("use", [write_records, lambda data, folder: MemorySource(data, data.batches)])
def test_data_without_library_sizes_are_refused(make_counts, make_processed, tmp_path, use):
    data = make_processed(make_counts(8, 5))
    del data.obs["n_counts"]
    with pytest.raises(DataError, match="Column 'n_counts', .*Run `discern process`"):
        use(data, tmp_path / "records")
    assert not (tmp_path / "records").exists()
