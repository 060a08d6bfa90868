"""The published estimator, method by method, on a few cells."""

import copy

import anndata
import numpy as np
import pytest
from scipy import sparse

from discern.errors import DataError, ExperimentError, ParametersError
from discern.estimators.batch_integration import DISCERN
from discern.estimators.callbacks import create_callbacks
from discern.io import DISCERNData


@pytest.fixture
def data(exp_folder) -> DISCERNData:
    return DISCERNData.from_folder(exp_folder, batch_size=32)


@pytest.fixture
def model(parameters, data) -> DISCERN:
    model = DISCERN.from_json(parameters)
    model.build_model(n_genes=data.n_vars, n_labels=2, scale=data.config["total_train_count"])
    return model


@pytest.fixture
def cells(data):
    """Scaled expression and one-hot batches of all cells."""
    expression = data.transform.dense(data.layers["counts"], data.obs["n_counts"].to_numpy())
    return expression, np.eye(2, dtype=np.float32)[data.obs["batch"].cat.codes]


def weights(model):
    return [weight.copy() for weight in model.wae_model.get_weights()]


def test_parameters_are_left_as_they_are(parameters, data):
    before = copy.deepcopy(parameters)
    model = DISCERN.from_json(parameters)
    model.build_model(data.n_vars, 2, 100)
    model.get_optimizer()
    assert parameters == before


def test_unknown_parameters_are_told(parameters):
    with pytest.raises(ParametersError, match="latentdim: unknown key. Did you mean 'latent_dim'"):
        DISCERN.from_json({**parameters, "model": {"latentdim": 3}})


def test_training_goes_on_where_it_ended_and_saves(model, data, tmp_path):
    first = model.training(data, savepath=tmp_path, max_steps=2)
    assert (first.epoch, model.start_step) == ([0, 1], 2)
    restored = DISCERN(model=model.config.model.model_dump())
    restored.restore_model(tmp_path)
    assert restored.start_step == 2
    for ours, expected in zip(weights(restored), weights(model), strict=True):
        np.testing.assert_array_equal(ours, expected)
    before = weights(model)
    assert model.training(data, max_steps=3).epoch == [2]
    assert any((ours != old).any() for ours, old in zip(weights(model), before, strict=True))


@pytest.mark.slow
def test_the_same_seed_trains_the_same_model(parameters, data):
    found = []
    for _ in range(2):
        model = DISCERN.from_json(parameters)
        model.build_model(data.n_vars, 2, 100)
        model.training(data, max_steps=1)
        found.append(weights(model))
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_published_callbacks_are_called(model, data, exp_folder):
    limits = {"delay": 0, "patience": 0, "min_delta": 1e9}
    history = model.training(data, create_callbacks(limits, exp_folder), max_steps=10)
    assert len(history.epoch) < 10


def test_the_weight_of_the_reconstruction_can_be_given(model, data):
    model.compile(model.get_optimizer(), scale=1.0)
    light = model.training(data, max_steps=1).history
    config = model.config.model
    terms = {
        "decoder_counts": 1.0,
        "decoder_dropouts": config.weighting_decoder_dropout,
        "mmdpp": config.wae_lambda,
        "sigma_regularization": config.weighting_random_encoder,
    }
    total = sum(weight * light[f"{name}_loss"][0] for name, weight in terms.items())
    np.testing.assert_allclose(light["loss"][0], total, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [7, 160, 1000])
def test_latent_codes_are_those_of_the_encoder(model, cells, batch_size):
    latent, sigma = model.generate_latent_codes(*cells, batch_size=batch_size)
    expected = [np.asarray(one) for one in model.encoder(list(cells), training=False)]
    assert latent.shape == sigma.shape == (160, 4)
    np.testing.assert_allclose(latent, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sigma, expected[1], rtol=1e-4, atol=1e-5)


def test_cells_are_those_of_the_decoder(model, cells):
    latent, _ = model.generate_latent_codes(*cells, batch_size=50)
    labels = np.full((160, 2), 0.5, dtype=np.float32)
    counts, probabilities = model.generate_cells_from_latent(latent, labels, batch_size=33)
    expected = [np.asarray(one) for one in model.decoder([latent, labels], training=False)]
    np.testing.assert_allclose(counts, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(probabilities, expected[1], rtol=1e-4, atol=1e-5)
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_reconstruction_is_encoding_decoding_and_unscaling(model, data, cells):
    reconstructed = model.reconstruct(data, "batch", "high", store_sigmas=True)
    latent, sigma = model.generate_latent_codes(*cells, batch_size=64)
    target = np.tile(np.float32([0, 1]), (160, 1))
    scaled, probabilities = model.generate_cells_from_latent(latent, target, batch_size=64)
    expected = np.clip(scaled * data.var["var_scaling"].to_numpy() + data.var["mean_scaling"].to_numpy(), 0, None)
    np.testing.assert_allclose(reconstructed.layers["estimated_counts"], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(reconstructed.layers["estimated_dropouts"], probabilities, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(reconstructed.obsm["X_DISCERN"], latent, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(reconstructed.obsm["X_DISCERN_sigma"], sigma, rtol=1e-3, atol=1e-4)
    drawn = _dense(reconstructed.X)
    estimate = reconstructed.layers["estimated_counts"]
    assert ((drawn == 0) | (drawn == estimate)).all()
    assert 0 < (drawn == 0).mean() < 1


@pytest.mark.parametrize("column_value", ["high", "", None])
def test_files_hold_what_reconstruct_returns(model, data, tmp_path, column_value):
    (path,) = model.project_to_metadata(data, [("batch", column_value)], tmp_path)
    expected = model.reconstruct(data, "batch", column_value)
    np.testing.assert_allclose(_dense(anndata.read_h5ad(path).X), _dense(expected.X), rtol=1e-5, atol=1e-6)
    assert path.name == f"projected_to_average_batch{'_high' if column_value else ''}.h5ad"


def test_without_metadata_the_own_batch(model, data, tmp_path):
    for metadata in (None, []):
        (path,) = model.project_to_metadata(data, metadata, tmp_path)
        assert path.name == "unprojected.h5ad"


def test_a_value_that_does_not_occur(model, data):
    with pytest.raises(DataError, match="'other' does not occur"):
        model.reconstruct(data, "batch", "other")


def test_data_of_another_number_of_batches(parameters, data):
    model = DISCERN.from_json(parameters)
    model.build_model(data.n_vars, 3, 100)
    with pytest.raises(DataError, match="The data has 2 batches"):
        model.training(data, max_steps=1)


def test_what_needs_a_model_says_so(data, tmp_path):
    model = DISCERN()
    for use in (lambda: model.training(data), lambda: model.reconstruct(data, None, None)):
        with pytest.raises(ExperimentError, match="not built"):
            use()
    with pytest.raises(ExperimentError, match="Run `discern train` first"):
        model.restore_model(tmp_path)


def _dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else matrix
