"""Cells as the published program handed them out, and the record files it wrote."""

import gzip

import numpy as np
import pytest

from discern.errors import DataError
from discern.io.published_cells import as_autoencoder_input, make_dataset_from_anndata, parse_tfrecords
from discern.io.record_format import frame


@pytest.fixture
def data(make_counts, make_processed):
    return make_processed(make_counts(80, 24))


def slow_expression(data, cells: np.ndarray) -> np.ndarray:
    """Scaled log expression in float64."""
    counts = data.layers["counts"][cells].toarray().astype(np.float64)
    total = data.obs["n_counts"].to_numpy(dtype=np.float64)[cells, None]
    mean, std = (data.var[name].to_numpy() for name in ("mean_scaling", "var_scaling"))
    return (np.log1p(counts * 1000.0 / total) - mean) / std


def test_single_cells_by_their_published_names(data):
    cells = list(make_dataset_from_anndata(data).as_numpy_iterator())
    assert len(cells) == 80
    inputs, targets = cells[7]
    assert inputs.keys() == {"input_data", "batch_input_enc", "batch_input_dec"}
    assert targets.keys() == {"decoder_counts", "decoder_dropouts"}
    expected = slow_expression(data, np.array([7]))[0]
    np.testing.assert_allclose(inputs["input_data"], expected, atol=5e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(inputs["batch_input_enc"], [0, 1])


def test_the_autoencoder_reconstructs_its_input_in_its_own_batch():
    inputs, targets = as_autoencoder_input({"expression": "x", "batch": "b", "library_size": "n"})
    assert inputs == {"input_data": "x", "batch_input_enc": "b", "batch_input_dec": "b"}
    assert targets == {"decoder_counts": "x", "decoder_dropouts": "x"}


@pytest.fixture
def published_file(tmp_path):
    """Three cells of four genes and two batches as the published program wrote them."""
    values = np.arange(21, dtype="<f4").reshape(3, 7)
    path = tmp_path / "training.tfrecords_v2"
    path.write_bytes(gzip.compress(b"".join(frame(cell.tobytes()) for cell in values)))
    return path, values


@pytest.mark.parametrize("as_given", [lambda path: path, str, lambda path: [path], lambda path: [str(path)]])
def test_published_records(published_file, as_given):
    path, values = published_file
    cells = list(parse_tfrecords(as_given(path), genes_no=4, n_labels=2).as_numpy_iterator())
    np.testing.assert_array_equal([inputs["input_data"] for inputs, _ in cells], values[:, :4])
    np.testing.assert_array_equal([inputs["batch_input_enc"] for inputs, _ in cells], values[:, 4:6])
    np.testing.assert_array_equal([targets["decoder_counts"] for _, targets in cells], values[:, :4])


@pytest.mark.parametrize(("genes_no", "n_labels"), [(4, 3), (5, 2), (3, 2)])
def test_published_records_of_other_data_are_refused(published_file, genes_no, n_labels):
    with pytest.raises(DataError, match=f"holds 7 values per cell; {genes_no} genes and {n_labels} batches need"):
        parse_tfrecords(published_file[0], genes_no, n_labels)
