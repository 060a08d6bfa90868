import copy
import json

import numpy as np
import pytest

from discern.config.loading import experiment_config
from discern.errors import ParametersError
from discern.tuning.search_space import parse_space
from discern.tuning.space_check import check_space

CONTENT = {
    "input_ds": {"raw_input": ["a.h5ad"]},
    "model": {
        "latent_dim": 8,
        "encoder": {"layers": [16, 8], "regularization": 0.3},
        "decoder": {"layers": [8, 16], "regularization": 0.0},
        "reconstruction_loss": "HuberLoss",
    },
    "training": {"max_steps": 3, "early_stopping": None},
}


def leaf(kind, *args, name=None):
    return {"type": kind, "args": list(args), **({"name": name} if name else {})}


def space_of(content):
    space, faults = parse_space(content)
    assert faults == []
    return space


def at(content, path):
    for key in path.split("."):
        content = content[key]
    return content


SPACE = {
    "model": {
        "latent_dim": leaf("hyperopt.hp.quniform", 4, 16, 4, name="latent_dim"),
        "encoder": {"layers": leaf("ray.tune.choice", [[16, 8], [32, 4]])},
        "reconstruction_loss": {"delta": leaf("uniform", 1, 9, name="delta")},
        "wae_lambda": leaf("lognormal", 3, 0.5),
    },
    "training": {"optimizer": {"learning_rate": leaf("ray.tune.loguniform", -4, -2)}},
}


def test_leaves_are_found_below_their_keys():
    space = space_of(SPACE)
    assert space.names == (
        "latent_dim",
        "model.encoder.layers",
        "delta",
        "model.wae_lambda",
        "training.optimizer.learning_rate",
    )
    assert [one.key for one in space.leaves][:3] == [
        "model.latent_dim",
        "model.encoder.layers",
        "model.reconstruction_loss.delta",
    ]


def test_a_sample_takes_the_place_of_values_and_leaves_the_experiment_as_it_was():
    before = copy.deepcopy(CONTENT)
    sample = {
        "latent_dim": 12,
        "model.encoder.layers": [32, 4],
        "delta": 2.5,
        "model.wae_lambda": 10.0,
        "training.optimizer.learning_rate": 0.01,
    }
    applied = space_of(SPACE).apply(CONTENT, {**sample, "of another search": 1})
    assert before == CONTENT
    expected = copy.deepcopy(CONTENT)
    expected["model"] |= {
        "latent_dim": 12,
        "wae_lambda": 10.0,
        "reconstruction_loss": {"name": "HuberLoss", "delta": 2.5},
    }
    expected["model"]["encoder"]["layers"] = [32, 4]
    expected["training"]["optimizer"] = {"learning_rate": 0.01}
    assert applied == expected
    applied["model"]["encoder"]["layers"].append(1)
    assert sample["model.encoder.layers"] == [32, 4]


def test_samples_are_valid_plain_json_and_follow_the_generator():
    space = space_of(SPACE)
    samples = [space.draw(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert samples[0] == samples[1] != samples[2]
    assert json.loads(json.dumps(samples)) == samples
    for sample in samples:
        config = experiment_config(space.apply(CONTENT, sample))
        assert config.model.latent_dim == sample["latent_dim"]
        assert isinstance(config.model.latent_dim, int)


def test_options_of_a_sample_are_copies():
    space = space_of(SPACE)
    for _ in range(2):
        sample = space.at(dict.fromkeys(space.names, 0.1))
        assert sample["model.encoder.layers"] == [16, 8]
        sample["model.encoder.layers"].clear()


def test_the_nearest_sample_lies_in_the_space():
    outside = {
        "latent_dim": 99,
        "model.encoder.layers": [32, 4],
        "delta": -3,
        "model.wae_lambda": 123.0,
        "training.optimizer.learning_rate": 0.0,
    }
    assert space_of(SPACE).nearest(outside) == {
        "latent_dim": 16,
        "model.encoder.layers": [32, 4],
        "delta": 1,
        "model.wae_lambda": pytest.approx(123.0),
        "training.optimizer.learning_rate": pytest.approx(1e-4),
    }


def test_values_of_the_experiment_itself():
    space = space_of(
        {
            "model": {
                "latent_dim": leaf("quniform", 4, 16, 4),
                "encoder": {"layers": leaf("choice", [[16, 8], [32, 4]]), "regularization": leaf("uniform", 0.4, 0.6)},
                "wae_lambda": leaf("loguniform", 2, 4, name="lambda"),
                "reconstruction_loss": {"delta": leaf("uniform", 1, 9)},
            }
        }
    )
    with_defaults = {"model": {"latent_dim": 4, "wae_lambda": 1500.0}}
    found = space.values_in(CONTENT, with_defaults)  # no 0.3 in the space, no delta in the experiment
    assert found == {"model.latent_dim": 8, "model.encoder.layers": [16, 8], "lambda": 1500.0}
    found["model.encoder.layers"].clear()
    assert CONTENT["model"]["encoder"]["layers"] == [16, 8]


@pytest.mark.parametrize(
    ("content", "path", "told"),
    [
        ({}, (), "names no hyperparameter"),
        ({"model": {}}, ("model",), "is empty"),
        ({"model": {"latent_dim": 8}}, ("model", "latent_dim"), "give an object"),
        ({"model": {"latent_dim": [leaf("uniform", 1, 2)]}}, ("model", "latent_dim"), "give an object"),
        ({"model": {"a": {"args": [1]}}}, ("model", "a"), "'type' names a distribution"),
        ({"model": {"a": {"type": "uniform"}}}, ("model", "a"), "'args' is the list"),
        ({"model": {"a": {"type": 3, "args": []}}}, ("model", "a"), "'type' names a distribution"),
        ({"model": {"a": leaf("unifrom", 1, 2)}}, ("model", "a"), "Did you mean 'uniform'"),
        ({"model": {"a": leaf("uniform", 1)}}, ("model", "a"), "does not take these arguments"),
        ({"model": {"a": leaf("uniform", 1, 2, 3)}}, ("model", "a"), "does not take these arguments"),
        ({"model": {"a": leaf("uniform", 2, 1)}}, ("model", "a"), "must be smaller"),
        ({"model": {"a": leaf("uniform", 1, 2) | {"arg": 1}}}, ("model", "a", "arg"), "unknown key"),
        ({"model": {"a": leaf("uniform", 1, 2) | {"name": "x/y"}}}, ("model", "a"), "'name' is a text"),
        ({"model": {"a": leaf("uniform", 1, 2) | {"name": ""}}}, ("model", "a"), "'name' is a text"),
        ({"model": {"a": leaf("uniform", 1, 2) | {"name": "x" * 101}}}, ("model", "a"), "'name' is a text"),
        ({"model": {"a": leaf("os.system", "true")}}, ("model", "a"), "unknown distribution"),
        ({"model": {"a": leaf("hyperopt.hp.__class__", 1)}}, ("model", "a"), "unknown distribution"),
        (
            {"model": {"a": leaf("uniform", 1, 2, name="x"), "b": leaf("uniform", 1, 2, name="x")}},
            ("model", "b"),
            "also that of model.a",
        ),
    ],
)
def test_what_is_no_search_space_is_told_with_its_place(content, path, told):
    _, faults = parse_space(content)
    assert [found for found, _, _ in faults] == [path]
    assert told in faults[0][1]


def test_endless_nesting_ends():
    content = leaf("uniform", 1, 2)
    for _ in range(900):
        content = {"a": content}
    _, faults = parse_space(content)
    assert "keys deep" in faults[0][1]


def refused(space, content=CONTENT):
    with pytest.raises(ParametersError) as caught:
        check_space(space_of(space), content, "search.json")
    return str(caught.value)


def test_a_possible_space_is_accepted_and_the_experiment_stays():
    before = copy.deepcopy(CONTENT)
    check_space(space_of(SPACE), CONTENT)
    assert before == CONTENT


@pytest.mark.parametrize(
    ("space", "line"),
    [
        (
            {"model": {"latentdim": leaf("quniform", 4, 8, 4)}},
            "search_space.model.latentdim: unknown key. Did you mean 'latent_dim'?",
        ),
        (
            {"modell": {"latent_dim": leaf("quniform", 4, 8, 4)}},
            "search_space.modell: unknown key. Did you mean 'model'?",
        ),
        (
            {"model": {"latent_dim": leaf("quniform", -8, 8, 4)}},
            "search_space.model.latent_dim: Input should be greater",
        ),
        (
            {"model": {"latent_dim": leaf("uniform", 4, 8)}},
            "search_space.model.latent_dim: Input should be a valid integer",
        ),
        (
            {"model": {"encoder": {"regularization": leaf("uniform", 0, 1)}}},
            "search_space.model.encoder.regularization: Input should be less than 1",
        ),
        (
            {"model": {"output_fn": leaf("choice", ["softmax", "softplu"])}},
            "search_space.model.output_fn: unknown output function 'softplu'. Did you mean 'softplus'?",
        ),
        (
            {"model": {"reconstruction_loss": {"weight_clipping": leaf("uniform", 1, 20)}}},
            "search_space.model.reconstruction_loss: reconstruction loss 'HuberLoss' does not take 'weight_clipping'",
        ),
        (
            {"training": {"optimizer": {"learning_rate": leaf("normal", 0, 1)}}},
            "search_space.training.optimizer.learning_rate: Input should be greater than 0",
        ),
        (
            {"training": {"early_stopping": {"patience": leaf("randint", 5)}}},
            "search_space.training.early_stopping.patience cannot be set: training.early_stopping of the parameters is null",
        ),
        (
            {"model": {"latent_dim": {"deeper": leaf("randint", 5)}}},
            "search_space.model.latent_dim.deeper cannot be set: model.latent_dim of the parameters is 8",
        ),
        ({"model": {"enc_layers": leaf("choice", [[4], [8]])}}, "'layers' of the encoder is given twice"),
        (
            {"input_ds": {"scale": {"LSN": leaf("uniform", 1, 2)}}},
            "search_space.input_ds.scale.LSN: cannot be searched",
        ),
        ({"training": {"max_steps": leaf("randint", 1, 5)}}, "search_space.training.max_steps: cannot be searched"),
        ({"training": {"GPU": leaf("choice", [[0], [1]])}}, "search_space.training.GPU: cannot be searched"),
        (
            {"training": {"early_stopping": {"monitor": leaf("choice", ["loss", "val_loss"])}}},
            "search_space.training.early_stopping.monitor: cannot be searched",
        ),
    ],
)
def test_an_impossible_space_is_refused_with_its_place_before_any_trial(space, line):
    message = refused(space)
    assert message.startswith("search.json has 1 invalid entry:\n  ")
    assert line in message


def test_all_faults_are_told_at_once():
    message = refused(
        {
            "model": {
                "latentdim": leaf("quniform", 4, 8, 4),
                "wae_lambda": leaf("normal", 0, 1),
                "encoder": {"regularization": leaf("uniform", 0, 2)},
            }
        }
    )
    assert message.startswith("search.json has 3 invalid entries:")


def test_values_that_are_impossible_together_are_found():
    content = copy.deepcopy(CONTENT)
    content["model"]["encoder"]["norm_type"] = ["layernorm"] * 2
    content["model"]["decoder"]["norm_type"] = ["layernorm"] * 2
    message = refused({"model": {"encoder": {"layers": leaf("choice", [[4, 4], [4, 4, 4]])}}}, content)
    assert "search_space.model.encoder: norm_type has 2 entries for 3 layers" in message
    together = {
        "layers": leaf("choice", [[4, 4], [8, 8]]),
        "norm_type": leaf("choice", [["layernorm"] * 2, ["batchnorm"] * 2]),
    }
    check_space(space_of({"model": {"encoder": together}}), content)


def test_only_a_combination_is_impossible():
    content = copy.deepcopy(CONTENT)
    content["input_ds"] = {}
    one = {"training": {"optimizer": {"algorithm": leaf("choice", ["SGD", "Adam"])}}}
    content["training"]["optimizer"] = {"algorithm": "Adam"}
    check_space(space_of(one), content)
    both = {"training": {"optimizer": {**one["training"]["optimizer"], "beta_1": leaf("uniform", 0.5, 0.9)}}}
    assert "optimizer 'SGD' does not take 'beta_1'" in refused(both, content)
