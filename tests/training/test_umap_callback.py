"""Pictures of the latent space."""

from types import SimpleNamespace

import numpy as np
import pytest

from discern.training import umap_callback
from discern.training.umap_callback import VisualisationCallback

PNG = b"\x89PNG\r\n\x1a\n"


def pictures(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def quick(monkeypatch):
    """The real drawing without the real UMAP, which takes seconds to compile."""
    seen = SimpleNamespace(latents=[])

    def coordinates(features, seed=0):
        seen.latents.append(features)
        return np.asarray(features)[:, :2]

    monkeypatch.setattr(umap_callback, "umap_coordinates", coordinates)
    return seen


def test_a_picture_every_freq_epochs_and_of_the_last(data, make_family, tmp_path, quick):
    callback = VisualisationCallback(tmp_path / "UMAP", data, batch_size=32, freq=2)
    callback.set_model(make_family(data).model)
    for epoch in range(5):
        callback.on_epoch_end(epoch)
    assert pictures(tmp_path / "UMAP") == ["epoch_0002.png", "epoch_0004.png"]
    callback.on_train_end()
    assert pictures(tmp_path / "UMAP")[-1] == "epoch_0005.png"
    for picture in (tmp_path / "UMAP").iterdir():
        assert picture.read_bytes().startswith(PNG)
        assert picture.stat().st_size > 5000


def test_the_last_picture_is_not_drawn_twice(data, make_family, tmp_path, quick):
    callback = VisualisationCallback(tmp_path, data, batch_size=32, freq=1)
    callback.set_model(make_family(data).model)
    callback.on_epoch_end(0)
    callback.on_train_end()
    assert len(quick.latents) == 1


def test_nothing_is_drawn_without_an_epoch(data, make_family, tmp_path, quick):
    callback = VisualisationCallback(tmp_path / "UMAP", data, batch_size=32)
    callback.set_model(make_family(data).model)
    callback.on_train_end()
    assert pictures(tmp_path / "UMAP") == []


def test_genes_that_were_not_measured_are_read_as_their_mean(data, lack_genes, make_family, tmp_path, quick):
    family = make_family(lack_genes(data))
    callback = VisualisationCallback(tmp_path, data, batch_size=32, freq=1)
    callback.set_model(family.model)
    callback.on_epoch_end(0)
    expression = data.transform.dense(data.layers["counts"], data.obs["n_counts"].to_numpy())
    expression[::3, 12:] = 0.0
    labels = np.eye(2, dtype=np.float32)[data.obs["batch"].cat.codes]
    np.testing.assert_allclose(quick.latents[0], family.encode(expression, labels).mean, rtol=1e-5, atol=1e-5)


def test_the_latent_means_of_all_cells_are_drawn(data, make_family, tmp_path, quick):
    family = make_family(data, regularization=0.4)
    callback = VisualisationCallback(tmp_path, data, batch_size=32, freq=1)
    callback.set_model(family.model)
    callback.on_epoch_end(0)
    expression = data.transform.dense(data.layers["counts"], data.obs["n_counts"].to_numpy())
    labels = np.eye(2, dtype=np.float32)[data.obs["batch"].cat.codes]
    np.testing.assert_allclose(quick.latents[0], family.encode(expression, labels).mean, rtol=1e-5, atol=1e-5)
