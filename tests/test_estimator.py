"""The published Python interface, on a few hundred cells."""

import copy
import json

import anndata
import keras
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError, ExperimentError, ParametersError, ShapeError
from discern.estimator import DISCERN
from discern.io.data import DISCERNData
from discern.losses.masked_cross_entropy import MaskedCrossEntropy
from discern.preprocessing.recipe import WAERecipe

PARAMETERS = {
    "input_ds": {
        "filtering": {"min_genes": 5, "min_cells": 3},
        "scale": {"LSN": 1000, "fixed_scaling": {"mean": "genes", "var": "genes"}},
        "split": {"split_seed": 0, "valid_cells": 0.1},
    },
    "model": {"layers": [24], "latent_dim": 8, "regularization": 0.0, "norm_type": ["conditionallayernorm"]},
    "training": {"XLA": False, "seed": 3, "optimizer": {"algorithm": "Adam", "learning_rate": 0.01}},
}


def raw_counts(n_cells: int, seed: int, shift: float) -> anndata.AnnData:
    """Counts of 100 genes; about half are zero."""
    rng = np.random.default_rng(seed)
    mean = np.random.default_rng(9).gamma(0.6, 1.8, 100) * rng.uniform(0.5, 1.5, (n_cells, 1)) * shift
    obs = pd.DataFrame({"celltype": rng.choice(["B", "T"], n_cells)}, index=[f"c{seed}_{i}" for i in range(n_cells)])
    var = pd.DataFrame(index=[f"gene{i}" for i in range(100)])
    return anndata.AnnData(sparse.csr_matrix(rng.poisson(mean).astype(np.float32)), obs, var)


def process(inputs, parameters=PARAMETERS) -> DISCERNData:
    return WAERecipe(params=parameters, inputs=inputs).__call__().sc_raw


@pytest.fixture(scope="module")
def inputs():
    return {"low": raw_counts(180, 1, 0.7), "high": raw_counts(120, 2, 1.4)}


@pytest.fixture(scope="module")
def data(inputs) -> DISCERNData:
    data = process(inputs)
    data.batch_size = 64
    return data


def new_model(data, parameters=PARAMETERS) -> DISCERN:
    model = DISCERN.from_json(parameters)
    model.build_model(data.var_names.size, data.obs.batch.nunique(), data.config["total_train_count"])
    return model


@pytest.fixture(scope="module")
def trained(data) -> DISCERN:
    model = new_model(data)
    model.losses = model.training(inputdata=data, max_steps=15)
    return model


def dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def counted(data, split="train"):
    return (dense(data.layers["counts"])[data.cells_of(split)] > 0).mean()


class TestConfiguration:
    @pytest.mark.parametrize("section", ["model", "training"])
    def test_a_missing_section_is_a_key_error(self, section):
        content = {key: value for key, value in PARAMETERS.items() if key != section}
        with pytest.raises(KeyError, match=f"no section '{section}'. Found: input_ds"):
            DISCERN.from_json(content)

    def test_invalid_entries_are_told(self):
        with pytest.raises(ParametersError, match=r"model\.latentdim: unknown key. Did you mean 'latent_dim'"):
            DISCERN.from_json(PARAMETERS | {"model": {"latentdim": 3}})

    def test_published_file(self, golden_dir):
        content = json.loads((golden_dir / "published_parameters.json").read_text())["experiments"]
        model = DISCERN.from_json(content["default_experiment"])
        assert type(model.get_optimizer()).__name__ == "RectifiedAdam"
        assert model.wae_model is None
        assert model.start_step == 0

    def test_the_dictionary_stays_as_it_is(self, data):
        parameters = copy.deepcopy(PARAMETERS)
        parameters["training"]["optimizer"]["learning_decay"] = {"name": "CosineDecay", "decay_steps": 3}
        before = copy.deepcopy(parameters)
        model = new_model(data, parameters)
        for _ in range(2):
            model.get_optimizer()
        assert parameters == before


class TestParts:
    def test_not_built_is_an_attribute_error(self):
        model = DISCERN.from_json(PARAMETERS)
        for part in ("encoder", "decoder"):
            with pytest.raises(AttributeError, match="not built"):
                getattr(model, part)

    def test_absent_is_a_value_error(self):
        model = DISCERN.from_json(PARAMETERS)
        cells = keras.Input((2,))
        model.wae_model = keras.Model(cells, keras.layers.Dense(2, name="other")(cells))
        for part in ("encoder", "decoder"):
            with pytest.raises(ValueError, match=f"No such layer: {part}"):
                getattr(model, part)

    def test_what_needs_a_model_says_so(self, data, tmp_path):
        model = DISCERN.from_json(PARAMETERS)
        for call in (
            lambda: model.training(data),
            lambda: model.compile(keras.optimizers.Adam()),
            lambda: model.reconstruct(data, None, None),
            lambda: model.project_to_metadata(data, None, tmp_path),
        ):
            with pytest.raises(ExperimentError, match=r"build_model\(\) or restore_model\(\)"):
                call()

    def test_sizes(self, data):
        model = new_model(data)
        assert model.encoder.input_shape == [(None, data.n_vars), (None, 2)]
        assert model.decoder.input_shape == [(None, 8), (None, 2)]
        assert model.wae_model.get_layer("mmdpp").scale == data.config["total_train_count"]


class TestTraining:
    def test_history_and_epochs(self, trained):
        history = trained.losses
        assert history.epoch == list(range(15))
        assert trained.start_step == 15
        assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]
        assert history.history["val_loss"][-1] < history.history["val_loss"][0]

    def test_data_of_another_library_size_are_refused(self, data):
        sections = PARAMETERS["input_ds"] | {"scale": {"LSN": 500}}
        with pytest.raises(DataError, match="normalised to a library size of 1000.0, the model was built for 500.0"):
            new_model(data, PARAMETERS | {"input_ds": sections}).training(inputdata=data, max_steps=1)

    def test_an_output_function_without_negative_values_is_warned_of(self, data, caplog):
        model = new_model(data, PARAMETERS | {"model": PARAMETERS["model"] | {"output_fn": "softplus"}})
        model.training(inputdata=data, max_steps=1)
        assert "output_fn 'softplus' gives no negative values" in caplog.text

    def test_dropout_head_learns_the_probability_of_a_count(self, data):
        """The published program, not knowing what a zero is after scaling, learned 0.96 where 0.46 was true."""
        smoothing = {"crossentropy": {"lower_label_smoothing": 0.0}, "weighting_decoder_dropout": 1e5}
        model = new_model(data, PARAMETERS | {"model": PARAMETERS["model"] | smoothing})
        model.training(inputdata=data, max_steps=12)
        probability = model.reconstruct(data, None, None).layers["estimated_dropouts"]
        truth = counted(data)
        assert 0.3 < truth < 0.7
        assert probability[data.cells_of("train")].mean() == pytest.approx(truth, abs=0.06)
        # what it would have learned with zeros = 0
        expression = data.transform.dense(data.layers["counts"], data.obs["n_counts"].to_numpy())
        assert np.mean(MaskedCrossEntropy(zeros=0.0).targets(expression)) > 0.98

    def test_hidden_counts_read_like_zeros_of_the_data(self, data):
        encoder = {**PARAMETERS["model"].get("encoder", {}), "hidden_counts": 0.5}
        model = new_model(data, PARAMETERS | {"model": PARAMETERS["model"] | {"encoder": encoder}})
        model.training(inputdata=data, max_steps=0)
        np.testing.assert_array_equal(model.encoder.get_layer("hidden_counts").zeros, data.zeros)
        assert np.abs(data.zeros).max() > 0

    def test_same_seed_same_model_other_seed_another(self, data):
        first, again = new_model(data), new_model(data)
        other = new_model(data, PARAMETERS | {"training": PARAMETERS["training"] | {"seed": 6}})
        assert (first.wae_model.get_weights()[0] != other.wae_model.get_weights()[0]).any()
        assert first.training(data, max_steps=1).history == again.training(data, max_steps=1).history
        for mine, one in zip(first.wae_model.get_weights(), again.wae_model.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, one)

    def test_training_goes_on_from_where_it_was(self, data):
        at_once, in_two = new_model(data), new_model(data)
        whole = at_once.training(data, max_steps=3).history["loss"]
        first = in_two.training(data, max_steps=1)
        second = in_two.training(data, max_steps=3)
        assert (first.epoch, second.epoch) == ([0], [1, 2])
        assert first.history["loss"] + second.history["loss"] == whole
        assert in_two.training(data, max_steps=3).epoch == []

    def test_weight_of_the_reconstruction(self, data):
        losses = []
        for arguments in ({}, {"scale": 1.0}):
            model = new_model(data)
            model.compile(keras.optimizers.SGD(0.0), **arguments)
            history = model.training(data, max_steps=1).history
            losses.append((history["val_loss"][0], history["val_decoder_counts_loss"][0]))
        assert losses[0][0] - losses[1][0] == pytest.approx(14999 * losses[0][1], rel=1e-4)

    def test_a_model_can_be_built_and_trained_again(self, data):
        model = new_model(data)
        first = model.training(data, max_steps=1).history["loss"]
        model.build_model(data.n_vars, 2, data.config["total_train_count"])
        assert model.start_step == 0
        assert model.training(data, max_steps=1).history["loss"] == first

    def test_data_stay_as_they_are(self, inputs):
        before = {name: one.copy() for name, one in inputs.items()}
        data = process(inputs)
        processed = data.copy()
        model = new_model(data)
        model.training(data, max_steps=1)
        model.reconstruct(data, "batch", "high")
        for name, one in inputs.items():
            assert (one.X != before[name].X).nnz == 0
            pd.testing.assert_frame_equal(one.obs, before[name].obs)
            pd.testing.assert_frame_equal(one.var, before[name].var)
        assert (data.X != processed.X).nnz == 0
        pd.testing.assert_frame_equal(data.obs, processed.obs)
        assert set(data.layers) == set(processed.layers)
        assert set(data.uns) == set(processed.uns)

    def test_callbacks_are_called(self, data):
        seen = []
        callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
        new_model(data).training(data, callbacks=[callback], max_steps=2)
        assert seen == [0, 1]

    def test_wrong_number_of_batches_or_genes(self, data):
        model = DISCERN.from_json(PARAMETERS)
        model.build_model(data.n_vars, 3, 100)
        with pytest.raises(DataError, match=r"2 batches \(low, high\).*built for 3"):
            model.training(data, max_steps=1)
        model.build_model(data.n_vars + 1, 2, 100)
        with pytest.raises(ShapeError, match=f"{data.n_vars} genes"):
            model.training(data, max_steps=1)


class TestRestoring:
    @pytest.fixture
    def folder(self, trained, data, tmp_path):
        trained.training(data, savepath=tmp_path / "job", max_steps=15)
        return tmp_path / "job"

    def test_restored_model_gives_the_same_cells(self, trained, data, folder):
        restored = DISCERN.from_json(PARAMETERS)
        restored.restore_model(folder)
        assert restored.start_step == 15
        mine, other = (model.reconstruct(data, "batch", "high") for model in (restored, trained))
        np.testing.assert_array_equal(dense(mine.X), dense(other.X))

    def test_restored_model_trains_on(self, data, folder):
        restored = DISCERN.from_json(PARAMETERS)
        restored.restore_model(folder)
        assert restored.training(data, max_steps=16).epoch == [15]

    def test_no_model_or_a_damaged_one(self, folder, tmp_path):
        model = DISCERN.from_json(PARAMETERS)
        with pytest.raises(ExperimentError, match="does not exist"):
            model.restore_model(tmp_path / "nowhere")
        path = folder / "best_model.hdf5"
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ExperimentError, match="truncated"):
            model.restore_model(folder)

    def test_cells_are_matched_by_the_names_of_their_batches(self, trained, data, folder):
        """The same cells with their categories in another order, and of one batch only."""
        restored = DISCERN.from_json(PARAMETERS)
        restored.restore_model(folder)
        turned = DISCERNData(data.copy(), 64)
        turned.obs["batch"] = turned.obs["batch"].cat.reorder_categories(["high", "low"])
        expected = trained.reconstruct(data, None, None)
        np.testing.assert_array_equal(dense(restored.reconstruct(turned, None, None).X), dense(expected.X))

        loss = [model.training(cells, max_steps=16).history for model, cells in self.pairs(folder, data, turned)]
        assert loss[0] == loss[1]

        low = DISCERNData(data[data.obs["batch"] == "low"].copy(), 64)
        low.obs["batch"] = low.obs["batch"].cat.remove_unused_categories()
        latent = restored.reconstruct(low, None, None).obsm["X_DISCERN"]
        np.testing.assert_allclose(
            latent, expected.obsm["X_DISCERN"][(data.obs["batch"] == "low").to_numpy()], rtol=1e-4, atol=1e-5
        )

    def pairs(self, folder, *data):
        for cells in data:
            model = DISCERN.from_json(PARAMETERS)
            model.restore_model(folder)
            yield model, cells

    def test_unknown_batches_are_refused(self, data, folder):
        restored = DISCERN.from_json(PARAMETERS)
        restored.restore_model(folder)
        other = DISCERNData(data.copy(), 64)
        other.obs["batch"] = other.obs["batch"].cat.rename_categories({"high": "new"})
        for use in (lambda: restored.reconstruct(other, None, None), lambda: restored.training(other, max_steps=16)):
            with pytest.raises(DataError, match="does not know: new. Known: low, high"):
                use()


class TestGenerating:
    def test_latent_codes_and_cells_do_not_depend_on_the_minibatch(self, trained, data):
        expression = data.transform.dense(data.layers["counts"], data.obs["n_counts"].to_numpy())
        labels = np.eye(2, dtype=np.float32)[data.obs["batch"].cat.codes]
        latent, log_std = trained.generate_latent_codes(expression, labels, batch_size=64)
        assert latent.shape == log_std.shape == (data.n_obs, 8)
        counts, probability = trained.generate_cells_from_latent(latent, labels[:, ::-1], batch_size=1000)
        assert counts.shape == probability.shape == data.shape
        for codes, expected in zip(
            trained.generate_latent_codes(expression, labels, batch_size=7), (latent, log_std), strict=True
        ):
            np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=1e-5)
        own = trained.reconstruct(data, None, None)
        np.testing.assert_allclose(own.obsm["X_DISCERN"], latent, rtol=1e-4, atol=1e-5)

    def test_reconstruction(self, trained, data):
        result = trained.reconstruct(input_data=data, column="batch", column_value="high", store_sigmas=True)
        assert result.shape == data.shape
        assert list(result.obs_names) == list(data.obs_names)
        estimate, probability = result.layers["estimated_counts"], result.layers["estimated_dropouts"]
        drawn = dense(result.X)
        assert (drawn[drawn != 0] == estimate[drawn != 0]).all()
        assert (drawn == 0).mean() == pytest.approx(np.maximum(1 - probability, estimate == 0).mean(), abs=0.05)
        assert (estimate >= 0).all()
        np.testing.assert_array_equal(dense(result.raw.X), dense(data.X))
        assert result.obsm["X_DISCERN"].shape == result.obsm["X_DISCERN_sigma"].shape == (data.n_obs, 8)
        assert "X_DISCERN_sigma" not in trained.reconstruct(data, "batch", "high").obsm

    def test_zero_is_a_value(self, trained, data, tmp_path):
        numbered = data.copy()
        numbered.obs["cluster"] = (numbered.obs["batch"] == "high").astype(int)
        numbered = DISCERNData(numbered, batch_size=64)
        (path,) = trained.project_to_metadata(numbered, [("cluster", 0)], tmp_path)
        assert path.name == "projected_to_average_cluster_0.h5ad"
        low = trained.reconstruct(numbered, "batch", "low")
        np.testing.assert_array_equal(dense(trained.reconstruct(numbered, "cluster", 0).X), dense(low.X))

    def test_target_is_the_batch_that_was_named(self, trained, data):
        """Decoding by hand with the one-hot column of the name."""
        result = trained.reconstruct(data, "batch", "low")
        latent = result.obsm["X_DISCERN"]
        labels = np.zeros((data.n_obs, 2), np.float32)
        labels[:, data.batches.index("low")] = 1
        scaled, probability = trained.generate_cells_from_latent(latent, labels, 64)
        expression = np.maximum(data.transform.scaling.unscale(scaled), 0)
        np.testing.assert_allclose(result.layers["estimated_counts"], expression, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(result.layers["estimated_dropouts"], probability, rtol=1e-4, atol=1e-5)

    def test_average_batch_lies_between(self, trained, data):
        """Batch "high" was sequenced twice as deep: more genes are seen in cells decoded into it."""
        of_all = trained.reconstruct(data, "batch", "").layers["estimated_dropouts"].mean()
        low, high = (trained.reconstruct(data, "batch", name).layers["estimated_dropouts"].mean()
                     for name in ("low", "high"))  # fmt: skip
        assert low < of_all < high

    def test_drawing_is_seeded(self, trained, data):
        first, second = (dense(trained.reconstruct(data, "batch", "high").X) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_a_value_that_does_not_occur(self, trained, data):
        with pytest.raises(DataError, match="'highest' does not occur.*high, low"):
            trained.reconstruct(data, "batch", "highest")

    def test_cells_before_any_training(self, inputs):
        """Batch names and scaling come from the data, also when nothing is scaled."""
        unscaled = copy.deepcopy(PARAMETERS)
        del unscaled["input_ds"]["scale"]["fixed_scaling"]
        data = process(inputs, unscaled)
        result = new_model(data, unscaled).reconstruct(data, "batch", "high")
        assert result.shape == data.shape


class TestProjecting:
    def test_files_and_memory_agree_whatever_the_size_of_a_slice(self, trained, data, tmp_path):
        written = {}
        for batch_size in (7, 64, 1000):
            cells = DISCERNData(data.copy(), batch_size)
            folder = tmp_path / str(batch_size)
            paths = trained.project_to_metadata(cells, [("batch", "high"), ("celltype", "")], folder, store_sigmas=True)
            names = ["projected_to_average_batch_high.h5ad", "projected_to_average_celltype.h5ad"]
            assert [path.name for path in paths] == names
            written[batch_size] = [anndata.read_h5ad(path) for path in paths]
        in_memory = [
            trained.reconstruct(data, "batch", "high", store_sigmas=True),
            trained.reconstruct(data, "celltype", None, store_sigmas=True),
        ]
        for results in written.values():
            for mine, other in zip(results, in_memory, strict=True):
                assert list(mine.obs_names) == list(other.obs_names)
                for key in ("estimated_counts", "estimated_dropouts"):
                    np.testing.assert_allclose(dense(mine.layers[key]), other.layers[key], rtol=1e-4, atol=1e-4)
                for key in ("X_DISCERN", "X_DISCERN_sigma"):
                    np.testing.assert_allclose(mine.obsm[key], other.obsm[key], rtol=1e-4, atol=1e-4)
                assert ((dense(mine.X) == 0) != (dense(other.X) == 0)).mean() < 1e-4  # a draw on the very edge
                np.testing.assert_array_equal(dense(mine.raw.X), dense(other.raw.X))
        assert dense(in_memory[0].X).sum() != dense(in_memory[1].X).sum()

    def test_same_slices_same_bits(self, trained, data, tmp_path):
        (path,) = trained.project_to_metadata(data, [("batch", "high")], tmp_path)
        np.testing.assert_array_equal(
            dense(anndata.read_h5ad(path).X), dense(trained.reconstruct(data, "batch", "high").X)
        )

    def test_without_metadata(self, trained, data, tmp_path):
        (path,) = trained.project_to_metadata(data, None, tmp_path)
        assert path.name == "unprojected.h5ad"
        np.testing.assert_array_equal(dense(anndata.read_h5ad(path).X), dense(trained.reconstruct(data, None, None).X))

    def test_genes_that_a_data_set_did_not_measure_are_read_as_their_mean(self, trained, data):
        cells = DISCERNData(data.copy(), 64)
        measured = np.arange(data.n_vars) % 5 > 0
        cells.varm["measured"] = pd.DataFrame({"low": measured}, index=data.var_names)
        found = trained.reconstruct(cells, None, None).obsm["X_DISCERN"]
        expression = data.transform.dense(data.layers["counts"], data.obs["n_counts"].to_numpy())
        expression[np.ix_(data.obs["dataset"] == "low", ~measured)] = 0.0
        labels = np.eye(2, dtype=np.float32)[data.obs["batch"].cat.codes]
        expected, _ = trained.generate_latent_codes(expression, labels, 64)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        before, _ = trained.generate_latent_codes(
            data.transform.dense(data.layers["counts"], data.obs["n_counts"].to_numpy()), labels, 64
        )
        assert (np.abs(before - found).max(axis=1) > 1e-3).sum() == (data.obs["dataset"] == "low").sum()


def test_two_models_in_one_process_do_not_know_each_other(trained, data):
    before = [weight.copy() for weight in trained.wae_model.get_weights()]
    parameters = copy.deepcopy(PARAMETERS)
    parameters["model"]["reconstruction_loss"] = {"name": "tensorflow.keras.losses.MeanSquaredError"}
    other = new_model(data, parameters)
    other.training(data, max_steps=1)
    for mine, weight in zip(trained.wae_model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, weight)


def test_published_raw_inputs(golden_dir):
    """The three inputs of the golden numbers, through recipe, training and reconstruction."""
    files = [golden_dir / f"input_b{number}.h5ad" for number in range(3)]
    parameters = copy.deepcopy(PARAMETERS)
    parameters["input_ds"]["filtering"]["min_genes"] = 100
    parameters["training"] = {"XLA": False, "early_stopping": None}  # the published optimizer
    data = WAERecipe(params=parameters, input_files=files)().sc_raw
    model = new_model(data, parameters)
    history = model.training(data, max_steps=2).history
    assert np.isfinite(list(history.values())).all()
    result = model.reconstruct(data, "batch", data.batches[0])
    assert result.shape == (588, 1460)
