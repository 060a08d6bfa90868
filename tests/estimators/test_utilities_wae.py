import h5py
import numpy as np
import pytest

from discern.errors import ExperimentError
from discern.estimators.utilities_wae import load_model_from_directory
from discern.training.checkpoints import load_family


def test_a_folder_without_model(tmp_path):
    assert load_model_from_directory(tmp_path) == (None, 0)
    assert load_model_from_directory(tmp_path / "absent") == (None, 0)


def test_the_best_model_and_its_epochs(trained_folder):
    model, step = load_model_from_directory(trained_folder / "job")
    family, checkpoint = load_family(trained_folder / "job" / "best_model.hdf5")
    assert step == checkpoint.epoch > 0
    for ours, expected in zip(model.get_weights(), family.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_a_model_of_the_published_program(golden_dir):
    model, step = load_model_from_directory(str(golden_dir / "online_old"))
    assert step == 0
    with h5py.File(golden_dir / "online_old" / "best_model.hdf5") as file:
        stored = file["model_weights/encoder/latent/kernel:0"][()]
    np.testing.assert_array_equal(model.get_layer("encoder").get_layer("latent").get_weights()[0], stored)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_damaged_file_is_told(tmp_path, content):
    (tmp_path / "best_model.hdf5").write_bytes(content)
    with pytest.raises(ExperimentError, match="best_model.hdf5"):
        load_model_from_directory(tmp_path)


def test_a_file_of_something_else_is_told(tmp_path):
    with h5py.File(tmp_path / "best_model.hdf5", "w") as file:
        file["x"] = 1
    with pytest.raises(ExperimentError, match="was not written by this program"):
        load_model_from_directory(tmp_path)
