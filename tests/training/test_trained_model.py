import numpy as np
import pytest

from discern import DISCERN
from discern.errors import ExperimentError
from discern.io.transform import InputTransform
from discern.models.contract import DataDescription
from discern.training.trained_model import load_model_from_directory, load_trained


@pytest.fixture
def published(golden_dir):
    return golden_dir / "model_forward_best_model.hdf5", np.load(golden_dir / "model_forward.npz", allow_pickle=False)


def test_a_published_file_becomes_a_family(published):
    path, golden = published
    data = DataDescription(200, ("low", "middle", "high"), 1, InputTransform(20000.0, True))
    family, checkpoint = load_trained(path, data=data)
    latent = family.encode(golden["x"], golden["labels_enc"])
    np.testing.assert_allclose(latent.mean, golden["latent"], atol=5e-6 * np.abs(golden["latent"]).max())
    assert (family.data.batches, checkpoint.epoch) == (("low", "middle", "high"), 0)


def test_the_estimator_restores_a_published_job_folder(published, tmp_path):
    path, golden = published
    (tmp_path / "best_model.hdf5").write_bytes(path.read_bytes())
    model = DISCERN()
    model.restore_model(tmp_path)
    latent, _ = model.generate_latent_codes(golden["x"], golden["labels_enc"], batch_size=7)
    np.testing.assert_allclose(latent, golden["latent"], atol=5e-6 * np.abs(golden["latent"]).max())
    assert model.start_step == 0


def test_a_folder_without_model(tmp_path):
    assert load_model_from_directory(tmp_path) == (None, 0)
    with pytest.raises(ExperimentError, match=r"best_model.hdf5 does not exist"):
        DISCERN().restore_model(tmp_path)


def test_a_file_of_no_known_kind(tmp_path):
    import h5py

    with h5py.File(tmp_path / "best_model.hdf5", "w") as file:
        file["something"] = 1
    with pytest.raises(ExperimentError, match="was not written by this program"):
        load_model_from_directory(tmp_path)
