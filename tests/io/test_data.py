import anndata
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


def first_cells(dataset):
    return next(iter(dataset.as_numpy_iterator()))[0]["input_data"]


def change_a_count(data):
    cell = record_orders(data.obs)["validate"][0]
    data.layers["counts"][cell, 3] += 2.0


def change_the_library_sizes(data):
    data.obs["n_counts"] *= 2


def change_the_scaling(data):
    data.var["mean_scaling"] += 1.0


def change_the_library_size_of_all(data):
    data.config = {"scale": {"LSN": 10}}


def change_the_split(data):
    data.obs["split"] = data.obs["split"].to_numpy()[::-1]


@pytest.mark.filterwarnings("ignore:Changing the sparsity structure")
@pytest.mark.parametrize(
    "change",
    [
        change_a_count,
        change_the_library_sizes,
        change_the_scaling,
        change_the_library_size_of_all,
        change_the_split,
    ],
)
def test_data_that_differ_do_not_share_what_is_kept(make_counts, make_processed, tmp_path, change):
    data, other, plain = (make_processed(make_counts(40, 12)) for _ in range(3))
    change(other)
    change(plain)
    data.cachefile = other.cachefile = str(tmp_path / "cache")
    for one in (data, other, data):
        for _ in one.tfdata[1]:
            pass
    np.testing.assert_array_equal(first_cells(other.tfdata[1]), first_cells(plain.tfdata[1]))
    assert (first_cells(other.tfdata[1]) != first_cells(data.tfdata[1])).any()
    assert len(list(tmp_path.glob("*.index"))) == 2  # those of the same data were used again


def test_batches_and_the_size_of_minibatches_belong_to_what_is_kept(make_counts, make_processed, tmp_path):
    one = make_processed(make_counts(40, 12))
    renamed, smaller = one.copy(), one.copy()
    renamed.obs["batch"] = one.obs["batch"].cat.reorder_categories(["high", "low"])
    datasets = [DISCERNData(one, 8, tmp_path / "cache"), DISCERNData(renamed, 8, tmp_path / "cache")]
    datasets.append(DISCERNData(smaller, 4, tmp_path / "cache"))
    first, other, small = ([inputs for inputs, _ in data.tfdata[1].as_numpy_iterator()] for data in datasets)
    np.testing.assert_array_equal(first[0]["batch_input_enc"], other[0]["batch_input_enc"][:, ::-1])
    assert [len(inputs["input_data"]) for inputs in small] == [4, 4, 2]


def test_training_minibatches_are_shuffled_anew_whether_or_not_a_file_is_kept(data, tmp_path):
    data.cachefile = str(tmp_path / "cache")
    train, _ = data.tfdata
    first, second = (
        np.concatenate([inputs["input_data"] for inputs, _ in train.as_numpy_iterator()]) for _ in range(2)
    )
    assert first.shape == second.shape and (first != second).any()


def test_genes_that_were_not_measured_belong_to_what_is_kept(data, with_panels, tmp_path):
    data = with_panels(data)
    table = data.varm["measured"].copy()
    data.cachefile = str(tmp_path / "cache")
    before = first_cells(data.tfdata[1])
    for _ in data.tfdata[1]:
        pass
    data.varm["measured"] = pd.DataFrame({"other": table["few"], "few": table["other"]})
    assert (first_cells(data.tfdata[1]) != before).any()


def test_a_view_is_copied(data):
    of_some = DISCERNData(data[::2], batch_size=4)
    assert not of_some.is_view and of_some.shape == (20, 12)
    assert [len(inputs["input_data"]) for inputs, _ in DISCERNData(data[:16, :], 4).tfdata[1]] == [4]
    of_some.obs["n_counts"] = 0.0
    assert (data.obs["n_counts"] > 0).any()


def test_a_view_of_a_file_is_read(data, file):
    stored = anndata.read_h5ad(file, backed="r")
    of_some = DISCERNData(stored[::2], batch_size=4)
    np.testing.assert_array_equal(of_some.X.toarray(), data.X[::2].toarray())
    stored.file.close()


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
