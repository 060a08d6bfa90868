import json
from dataclasses import replace

import numpy as np
import pytest

from discern.errors import ExperimentError, ShapeError
from discern.io.record_schema import SCHEMA_FILE, RecordSchema, Shard, genes_digest

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


def test_records_of_other_cells_are_refused_where_both_are_known(schema):
    known = replace(schema, cells_sha256="x")
    for records, cells in ((known, "x"), (known, ""), (schema, "x")):
        records.check(GENES, schema.batches, cells)
    with pytest.raises(ShapeError, match="other cells .* different runs"):
        known.check(GENES, schema.batches, "y")
