"""What a record file holds, read back with TensorFlow's own reader and parser."""

import numpy as np
import tensorflow as tf

from discern.io.record_format import frame, serialise_cells


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


def test_records_tell_the_panel_of_their_cell_and_are_otherwise_the_same(make_counts):
    counts, labels = make_counts(3, 30), (np.array([0, 1, 1]), np.array([5.0, 6.5, 7.0]), "<u2", "|u1")
    for without, cell, panel in zip(
        serialise_cells(counts, *labels), serialise_cells(counts, *labels, np.array([2, 0, 1])), [2, 0, 1], strict=True
    ):
        record = tf.train.Example.FromString(cell)
        assert record.features.feature["panel"].int64_list.value == [panel]
        del record.features.feature["panel"]
        assert record == tf.train.Example.FromString(without)
