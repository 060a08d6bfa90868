"""What a record file holds, read back with TensorFlow's own reader and parser."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import sparse

from discern.errors import DataError, ExperimentError, ShapeError
from discern.io.cells_digest import cells_digest
from discern.io.record_format import (
    SCHEMA_FILE,
    RecordSchema,
    Shard,
    frame,
    genes_digest,
    narrowest_dtypes,
    require_counts,
    serialise_cells,
)

GENES = ["a", "b", "c"]


@pytest.fixture
def schema():
    return RecordSchema(
        n_genes=3,
        genes_sha256=genes_digest(GENES),
        batches=["low", "high/2"],
        gene_dtype="<u2",
        value_dtype="|u1",
        splits={"training": [Shard("training-00000.tfrecords", 5), Shard("training-00001.tfrecords", 2)]},
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "|u1"),
        (255, "|u1"),
        (256, "<u2"),
        (2**16 - 1, "<u2"),
        (2**16, "<u4"),
        (2.0**24, "<u4"),
        (2.0**32, "<f4"),
        (0.5, "<f4"),
        (-1, "<f4"),
        (np.nan, "<f4"),
    ],
)
def test_values_take_the_narrowest_type_without_loss(value, expected):
    counts = sparse.csr_matrix(np.array([[1, value]], dtype=np.float32))
    assert narrowest_dtypes(counts) == ("<u2", expected)


@pytest.mark.parametrize(("n_genes", "expected"), [(1, "<u2"), (2**16, "<u2"), (2**16 + 1, "<u4")])
def test_genes_take_the_narrowest_type(n_genes, expected):
    assert narrowest_dtypes(sparse.csr_matrix((2, n_genes), dtype=np.float32)) == (expected, "|u1")


def test_a_record_is_an_example_tensorflow_understands(make_counts):
    counts = make_counts(4, 30)
    records = list(serialise_cells(counts, np.array([0, 1, 1, 0]), np.array([5.0, 6.5, 7.0, 8.0]), "<u2", "|u1"))
    assert len(records) == 4
    for cell, record in enumerate(records):
        feature = tf.train.Example.FromString(record).features.feature
        genes = np.frombuffer(feature["gene"].bytes_list.value[0], "<u2")
        np.testing.assert_array_equal(genes, counts[cell].indices)
        values = np.frombuffer(feature["value"].bytes_list.value[0], "|u1")
        np.testing.assert_array_equal(values, counts[cell].data)
        assert feature["batch"].int64_list.value == [[0, 1, 1, 0][cell]]
        assert feature["library_size"].float_list.value == [[5.0, 6.5, 7.0, 8.0][cell]]


def test_frames_are_those_tensorflow_writes(tmp_path):
    records = [b"", b"x", bytes(range(256)) * 5]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert b"".join(map(frame, records)) == (tmp_path / "theirs").read_bytes()


def test_schema_survives_its_file(schema, tmp_path):
    (tmp_path / SCHEMA_FILE).write_text(json.dumps(schema.to_json()))
    assert RecordSchema.read(tmp_path) == schema
    assert schema.n_cells("training") == 7
    assert schema.n_cells("validate") == 0


def test_a_folder_without_schema_is_refused(tmp_path):
    with pytest.raises(ExperimentError, match=r"holds no schema\.json\. Run `discern process`"):
        RecordSchema.read(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", "[]", "3", "null", '{"format": "discern-sparse-cells"}'])
def test_a_damaged_schema_is_refused(damage, tmp_path):
    (tmp_path / SCHEMA_FILE).write_text(damage)
    with pytest.raises(ExperimentError, match="is damaged"):
        RecordSchema.read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"splits": None}, {"splits": {"training": [{"file": "x"}]}}, {"surplus": 1}, {"splits": {"training": [1]}}],
)
def test_a_schema_with_wrong_content_is_refused(change, schema, tmp_path):
    (tmp_path / SCHEMA_FILE).write_text(json.dumps(schema.to_json() | change))
    with pytest.raises(ExperimentError, match="is damaged"):
        RecordSchema.read(tmp_path)


def test_a_schema_without_genes_is_refused(schema, tmp_path):
    content = schema.to_json()
    del content["n_genes"]
    (tmp_path / SCHEMA_FILE).write_text(json.dumps(content))
    with pytest.raises(ExperimentError, match="is damaged"):
        RecordSchema.read(tmp_path)


def test_schemas_without_panels_are_those_of_earlier_versions(schema):
    content = schema.to_json()
    assert content["version"] == 1
    assert "unmeasured" not in content
    assert schema.panels is None


def test_panels_survive_the_file_of_the_schema(schema, tmp_path):
    written = replace(schema, version=2, unmeasured=[[0, 2], [1]])
    (tmp_path / SCHEMA_FILE).write_text(json.dumps(written.to_json()))
    assert RecordSchema.read(tmp_path) == written
    np.testing.assert_array_equal(written.panels, [[True, True, True], [False, True, False], [True, False, True]])


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1, "unmeasured": [[1]]},
        {"version": 2},
        {"version": 2, "unmeasured": []},
        {"version": 2, "unmeasured": [[3]]},
        {"version": 2, "unmeasured": [[1, 0]]},
        {"version": 2, "unmeasured": [3]},
        {"version": 2, "unmeasured": "12"},
        {"version": 2, "unmeasured": [["1"]]},
    ],
)
def test_panels_that_cannot_be_are_refused(change, schema, tmp_path):
    content = {name: value for name, value in schema.to_json().items() if name != "crc32c"}
    (tmp_path / SCHEMA_FILE).write_text(json.dumps(content | change))
    with pytest.raises(ExperimentError, match="is damaged"):
        RecordSchema.read(tmp_path)


def test_records_tell_the_panel_of_their_cell_and_are_otherwise_the_same(make_counts):
    counts, labels = make_counts(3, 30), (np.array([0, 1, 1]), np.array([5.0, 6.5, 7.0]), "<u2", "|u1")
    for without, cell, panel in zip(
        serialise_cells(counts, *labels), serialise_cells(counts, *labels, np.array([2, 0, 1])), [2, 0, 1], strict=True
    ):
        record = tf.train.Example.FromString(cell)
        assert record.features.feature["panel"].int64_list.value == [panel]
        del record.features.feature["panel"]
        assert record == tf.train.Example.FromString(without)


@pytest.mark.parametrize("change", [{"version": 3}, {"format": "dense-cells"}])
def test_another_format_says_how_to_write_the_records_anew(change, schema, tmp_path):
    (tmp_path / SCHEMA_FILE).write_text(json.dumps(schema.to_json() | change))
    with pytest.raises(ExperimentError, match="Run `discern process --force` to write the records anew"):
        RecordSchema.read(tmp_path)


def test_records_of_the_same_genes_and_batches_are_accepted(schema):
    schema.check(GENES, ["low", "high/2"])


@pytest.mark.parametrize("genes", [["a", "b"], ["a", "c", "b"], ["a", "b", "d"], ["a", "b", "c", "d"]])
def test_records_of_other_genes_are_refused(schema, genes):
    with pytest.raises(ShapeError, match="hold 3 genes"):
        schema.check(genes, ["low", "high/2"])


@pytest.mark.parametrize("batches", [["low"], ["high/2", "low"], ["low", "high/2", "new"], ["low", "other"]])
def test_records_of_other_batches_are_refused(schema, batches):
    with pytest.raises(ShapeError, match="hold the batches"):
        schema.check(GENES, batches)


def test_missing_counts_are_refused():
    with pytest.raises(DataError, match="holds no layer 'counts'"):
        require_counts(None, "The data")


def test_counts_become_csr_with_sorted_indices():
    unsorted = sparse.csr_matrix((np.array([1.0, 2.0]), np.array([2, 0]), np.array([0, 2])), shape=(1, 3))
    for counts in (unsorted, unsorted.toarray(), unsorted.tocsc()):
        result = require_counts(counts, "The data")
        np.testing.assert_array_equal(result.indices, [0, 2])
        np.testing.assert_array_equal(result.data, [2.0, 1.0])


def test_records_of_other_cells_are_refused_where_both_are_known(schema):
    known = replace(schema, cells_sha256="x")
    for records, cells in ((known, "x"), (known, ""), (schema, "x")):
        records.check(GENES, schema.batches, cells)
    with pytest.raises(ShapeError, match="other cells .* different runs"):
        known.check(GENES, schema.batches, "y")


@pytest.mark.parametrize(
    "other",
    [
        (["b", "a"], ["train", "valid"], [1, 2]),
        (["a", "b"], ["valid", "train"], [1, 2]),
        (["a", "b"], ["train", "valid"], [1, 3]),
    ],
)
def test_the_digest_tells_cells_apart(other):
    mine = cells_digest(["a", "b"], pd.Categorical(["train", "valid"]), np.array([1, 2], "f4"))
    assert mine == cells_digest(["a", "b"], ["train", "valid"], [1.0, 2.0])
    assert mine != cells_digest(*other)
