import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from discern.errors import DataError, ExperimentError
from discern.io import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.io.tfrecord_writer import record_orders
from discern.io.writing import write_h5ad


@pytest.fixture
def data(make_counts, make_processed):
    return make_processed(make_counts(40, 12))


@pytest.fixture
def file(data, tmp_path):
    path = tmp_path / "data.h5ad"
    write_h5ad(data, path)
    return path


def test_it_is_the_anndata_it_was_made_of(data):
    assert isinstance(data, AnnData)
    again = DISCERNData(data, batch_size=3)
    assert again.batch_size == 3
    assert again.X is data.X
    assert again.config == data.config == {"scale": {"LSN": 1000}}


def test_the_configuration_can_be_replaced_but_not_changed_in_passing(data):
    data.config["scale"] = {}
    assert data.config == {"scale": {"LSN": 1000}}
    data.config = {"scale": {"LSN": 5}}
    assert data.transform.library_size == 5.0


def test_zeros_are_minus_mean_over_deviation(data):
    np.testing.assert_allclose(data.zeros, -data.var["mean_scaling"] / data.var["var_scaling"], rtol=1e-6)


def test_zeros_without_scaling(make_counts, make_processed):
    np.testing.assert_array_equal(make_processed(make_counts(8, 5), scaled=False).zeros, np.zeros(5))


def test_cells_of_a_split(data):
    np.testing.assert_array_equal(data.cells_of("valid"), np.arange(3, 40, 4))
    with pytest.raises(DataError, match=r"No cell has obs\['split'\] == 'test'"):
        data.cells_of("test")
    del data.obs["split"]
    with pytest.raises(DataError, match="Column 'split' is missing"):
        data.cells_of("train")


@pytest.mark.parametrize("cached", [False, True])
def test_tfdata_has_training_and_validation_minibatches(data, cached, tmp_path):
    data.cachefile = str(tmp_path / "cache") if cached else ""
    train, valid = data.tfdata
    for dataset, sizes in ((train, [8, 8, 8]), (valid, [8, 2])):
        for _ in range(2):
            minibatches = list(dataset.as_numpy_iterator())
            assert [len(inputs["input_data"]) for inputs, _ in minibatches] == sizes
    inputs, targets = minibatches[0]
    cells = record_orders(data.obs)["validate"][:8]
    expected = data.transform.dense(data.layers["counts"][cells], data.obs["n_counts"].to_numpy()[cells])
    np.testing.assert_allclose(inputs["input_data"], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(inputs["input_data"], targets["decoder_counts"])
    assert any(tmp_path.iterdir()) == cached


def test_a_file_is_read_as_it_was_written(data, file):
    read = DISCERNData.read_h5ad(file, batch_size=5, cachefile="x")
    assert (read.batch_size, read.cachefile) == (5, "x")
    np.testing.assert_array_equal(read.layers["counts"].toarray(), data.layers["counts"].toarray())
    np.testing.assert_array_equal(read.zeros, data.zeros)
    pd.testing.assert_frame_equal(read.obs, data.obs)


def test_an_experiment_folder(data, tmp_path):
    with pytest.raises(ExperimentError, match="does not exist. Run `discern process` first"):
        DISCERNData.from_folder(tmp_path, 5)
    write_h5ad(data, ExperimentFolder(tmp_path).processed_file)
    assert DISCERNData.from_folder(tmp_path, 5).shape == (40, 12)


def test_an_absent_file(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        DISCERNData.read_h5ad(tmp_path / "none.h5ad", 5)


def test_a_truncated_file(file):
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot be read as h5ad"):
        DISCERNData.read_h5ad(file, 5)


@pytest.mark.parametrize("absent", ["obs/batch", "uns/DISCERN"])
def test_a_file_that_was_not_preprocessed(file, absent):
    with h5py.File(file, "r+") as stored:
        del stored[absent]
        if absent.startswith("obs"):
            columns = stored["obs"].attrs["column-order"]
            stored["obs"].attrs["column-order"] = [name for name in columns if name != "batch"]
    with pytest.raises(DataError, match="was not written by preprocessing"):
        DISCERNData.read_h5ad(file, 5)
