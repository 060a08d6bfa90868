"""What is trained on against the published program: from its records, from ours and from memory."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from discern.io import DISCERNData, TFRecordsWriter, make_dataset_from_anndata, np_one_hot, parse_tfrecords
from discern.io.cell_sources import MemorySource, RecordSource
from discern.io.minibatches import minibatches
from discern.io.record_schema import TRAINING, VALIDATION
from discern.io.tfrecord_writer import write_records

SPLITS = {TRAINING: "train", VALIDATION: "valid"}


@pytest.fixture(scope="module")
def golden(golden_dir):
    with np.load(golden_dir / "preprocessing.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def data(golden):
    """The published preprocessing as this program stores it."""
    cells = np.isin(golden["raw_obs_names"], golden["filt_obs_names"])
    genes = np.isin(golden["raw_var_names"], golden["filt_var_names"])
    counts = sparse.csr_matrix(golden["raw_X"][np.ix_(cells, genes)])
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(golden["raw_batch"][cells]),
            "split": pd.Categorical(golden["split"]),
            "n_counts": golden["n_counts"],
        },
        index=golden["filt_obs_names"],
    )
    var = pd.DataFrame({name: golden[name] for name in ("mean_scaling", "var_scaling")}, index=golden["filt_var_names"])
    data = DISCERNData(
        AnnData(sparse.csr_matrix(golden["log1p_X"]), obs, var, layers={"counts": counts}), batch_size=64
    )
    data.config = {"scale": {"LSN": 20000}}
    data.uns["fixed_scaling"] = {"mean": "genes", "var": "genes"}
    return data


def joined(dataset):
    pieces = list(dataset.as_numpy_iterator())
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def assert_golden(minibatch, golden, cells):
    expected = golden["scaled_X"][cells]
    np.testing.assert_allclose(minibatch["expression"], expected, rtol=0, atol=5e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(minibatch["batch"], golden["one_hot"][cells])


@pytest.mark.parametrize("split", SPLITS)
def test_published_records(golden, golden_dir, split):
    """They hold the cells in the order of the data."""
    cells = golden["split"] == SPLITS[split]
    file = golden_dir / "job_small" / "TF_records" / f"{split}.tfrecords_v2"
    found = list(parse_tfrecords(file, genes_no=1460, n_labels=3).as_numpy_iterator())
    np.testing.assert_array_equal([inputs["input_data"] for inputs, _ in found], golden["scaled_X"][cells])
    np.testing.assert_array_equal([inputs["batch_input_dec"] for inputs, _ in found], golden["one_hot"][cells])


@pytest.mark.parametrize("split", SPLITS)
def test_records_of_this_program(golden, data, split, tmp_path):
    write_records(data, tmp_path / "records")
    rng = np.random.default_rng(0)
    order = {name: rng.permutation(np.flatnonzero(golden["split"] == label)) for name, label in SPLITS.items()}
    source = RecordSource(tmp_path / "records", split)
    assert_golden(joined(minibatches(source, data.transform, 64)), golden, order[split])


def test_memory(golden, data):
    cells = np.arange(588)
    minibatch = joined(minibatches(MemorySource(data, data.batches), data.transform, 64))
    assert_golden(minibatch, golden, cells)
    np.testing.assert_array_equal(minibatch["batch"], np_one_hot(data.obs["batch"]))


def test_slices_for_projection(golden, data):
    dense = data.transform.dense(data.layers["counts"], data.obs["n_counts"].to_numpy())
    assert_golden({"expression": dense, "batch": golden["one_hot"]}, golden, np.arange(588))


def test_zeros(golden, data):
    np.testing.assert_allclose(data.zeros, golden["zeros"], rtol=0, atol=5e-6 * np.abs(golden["zeros"]).max())


def test_published_processed_data_are_read(golden_dir, golden):
    data = DISCERNData.from_folder(golden_dir / "job_small", batch_size=64)
    assert data.config["total_train_count"] == 531
    assert data.config["batch_key"] == {"0": "input_b0", "1": "input_b1", "2": "input_b2"}
    assert data.batches == ["input_b0", "input_b1", "input_b2"]
    np.testing.assert_array_equal(data.X, golden["scaled_X"])


def test_records_take_at_most_a_third_of_the_published_size(data_dir, tmp_path):
    """The published program wrote 34 MB for this data set."""
    adata = read_h5ad(data_dir / "pbmc_citeseq_10k5k.h5ad")
    part = AnnData(sparse.csr_matrix(adata.X[::8]), adata.obs[["batch"]].iloc[::8])
    part.obs["batch"] = part.obs["batch"].astype("category")
    part.obs["n_counts"] = np.asarray(part.X.sum(axis=1)).ravel()
    part.layers["counts"] = part.X
    TFRecordsWriter(tmp_path).write_dataset(make_dataset_from_anndata(part, for_tfrecord=True), TRAINING)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size / part.n_obs <= 34e6 / 10_841 / 3
