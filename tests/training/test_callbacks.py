"""Which callbacks an ordinary training has."""

import sys

import keras
import pytest

from discern.errors import OptionalDependencyError
from discern.training.callbacks import create_callbacks
from discern.training.early_stopping import DelayedEarlyStopping
from discern.training.umap_callback import VisualisationCallback


def test_neither_pictures_nor_logs_unless_asked_for(tmp_path):
    callbacks = create_callbacks({"delay": 2, "patience": 7, "min_delta": 0.5}, tmp_path)
    (stopping,) = callbacks
    assert isinstance(stopping, DelayedEarlyStopping)
    assert (stopping.delay, stopping.patience, abs(stopping.min_delta)) == (2, 7, 0.5)
    assert list(tmp_path.iterdir()) == []


def test_no_early_stopping(tmp_path):
    assert create_callbacks(None, tmp_path) == []


def test_pictures_show_at_most_the_cells_asked_for(data, tmp_path):
    _, pictures = create_callbacks({}, tmp_path, data, umap_cells_no=30, freq_of_viz=4)
    assert isinstance(pictures, VisualisationCallback)
    assert pictures._data.n_obs == 30
    assert data.n_obs == 80
    (_, everything) = create_callbacks({}, tmp_path, data, umap_cells_no=1000)
    assert everything._data.n_obs == 80


def test_a_batch_without_a_chosen_cell_keeps_its_label_column(data, tmp_path):
    data.obs["batch"] = data.obs["batch"].cat.add_categories(["rare"])
    _, pictures = create_callbacks({}, tmp_path, data, umap_cells_no=5)
    assert pictures._data.batches == data.batches


def test_tensorboard_that_is_not_installed_is_a_known_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'discern-reconstruction\[tensorboard\]'"):
        create_callbacks(None, tmp_path, tensorboard=True)


def test_tensorboard_when_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", sys)  # any module will do
    (callback,) = create_callbacks(None, tmp_path, profile_batch=0, tensorboard=True)
    assert isinstance(callback, keras.callbacks.TensorBoard)
    assert str(callback.log_dir) == str(tmp_path / "job" / "tensorboard")
