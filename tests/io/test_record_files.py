import gzip

import pytest

from discern.errors import ExperimentError
from discern.io.record_files import prepare_train_valid, uncompressed_bytes
from discern.io.tfrecord_writer import TFRecordsWriter, write_records


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


def test_shards_of_this_program(make_counts, make_processed, tmp_path, monkeypatch):
    monkeypatch.setattr(TFRecordsWriter.__init__, "__defaults__", (4,))
    write_records(make_processed(make_counts(24, 5)), tmp_path / "records")
    training, validation = prepare_train_valid(tmp_path / "records")
    assert [path.name for path in training] == [f"training-0000{i}.tfrecords" for i in range(5)]
    assert [path.name for path in validation] == ["validate-00000.tfrecords", "validate-00001.tfrecords"]
    assert all(path.is_file() for path in training + validation)


def test_published_files(golden_dir):
    folder = golden_dir / "job_small" / "TF_records"
    expected = [folder / "training.tfrecords_v2"], [folder / "validate.tfrecords_v2"]
    assert prepare_train_valid(folder) == expected
    assert prepare_train_valid(str(folder)) == expected


def test_other_files_are_not_taken(tmp_path):
    touch(tmp_path, "training-00000.tfrecords", "validate-00000.tfrecords", "schema.json", "training.txt", "notes")
    training, validation = prepare_train_valid(tmp_path)
    assert [path.name for path in training + validation] == ["training-00000.tfrecords", "validate-00000.tfrecords"]


@pytest.mark.parametrize(
    ("present", "missing"), [([], "training"), (["training.tfrecords_v2"], "validate"), (["schema.json"], "training")]
)
def test_a_folder_without_records_is_refused(tmp_path, present, missing):
    touch(tmp_path, *present)
    with pytest.raises(ExperimentError, match=f"holds no {missing} records. Run `discern process`"):
        prepare_train_valid(tmp_path)


def test_an_absent_folder_is_refused(tmp_path):
    with pytest.raises(ExperimentError, match="holds no training records"):
        prepare_train_valid(tmp_path / "absent")


@pytest.mark.parametrize("content", [b"", b"x", bytes(70_000)])
def test_the_uncompressed_size_is_that_of_the_content(content, tmp_path):
    (tmp_path / "file").write_bytes(gzip.compress(content))
    assert uncompressed_bytes(tmp_path / "file") == len(content)


def test_an_empty_file_holds_nothing(tmp_path):
    touch(tmp_path, "file")
    assert uncompressed_bytes(tmp_path / "file") == 0
