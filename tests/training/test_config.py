"""The training section of parameters.json."""

import json

import pytest
from pydantic import ValidationError

from discern.training.config import EarlyStoppingConfig, OptimizerConfig, TrainingConfig
from discern.training.set_up import configured_optimizer


def test_published_file(golden_dir):
    content = json.loads((golden_dir / "published_parameters.json").read_text())["experiments"]["default_experiment"]
    config = TrainingConfig.model_validate(content["training"])
    assert (config.batch_size, config.max_steps, config.XLA, config.GPU) == (192, 200, True, [0])
    assert (config.early_stopping.delay, config.early_stopping.patience, config.early_stopping.min_delta) == (
        5,
        30,
        0.01,
    )
    optimizer = configured_optimizer(config)
    assert type(optimizer).__name__ == "RectifiedAdam"
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.amsgrad) == (0.85, 0.95, False)


def test_defaults_are_the_published_ones():
    config = TrainingConfig()
    optimizer = configured_optimizer(config)
    assert type(optimizer).__name__ == "RectifiedAdam"
    assert (float(optimizer.learning_rate), optimizer.beta_1, optimizer.beta_2) == (pytest.approx(1e-3), 0.85, 0.95)
    assert config.early_stopping == EarlyStoppingConfig(delay=5, patience=30, min_delta=0.01, monitor="val_loss")
    assert not config.tensorboard
    assert config.umap_every == 0
    assert config.precision == "float32"
    assert (config.online.freeze_mode, config.online.new_rows, config.online.replay) == ("none", "zeros", 0.0)
    assert config.online.min_gene_overlap == 0.8


@pytest.mark.parametrize("name", ["RectifiedAdam", "tensorflow_addons.optimizers.RectifiedAdam"])
def test_naming_the_default_algorithm_changes_nothing(name):
    unnamed = OptimizerConfig.model_validate({"learning_rate": 1e-3})
    named = OptimizerConfig.model_validate({"algorithm": name})
    assert named.arguments == unnamed.arguments == {"beta_1": 0.85, "beta_2": 0.95}
    own = OptimizerConfig.model_validate({"algorithm": name, "beta_2": 0.999})
    assert own.arguments == {"beta_1": 0.85, "beta_2": 0.999}


def test_another_algorithm_keeps_its_own_betas():
    assert OptimizerConfig.model_validate({"algorithm": "Adam"}).arguments == {}


def test_lookahead_and_old_spelling():
    section = {"optimizer": {"algorithm": "tensorflow_addons.optimizers.RectifiedAdam", "Lookahead": True}}
    optimizer = configured_optimizer(TrainingConfig.model_validate(section))
    assert type(optimizer).__name__ == "Lookahead"
    assert section["optimizer"]["algorithm"].startswith("tensorflow_addons")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"optimizer": {"algorithm": "os.system"}}, "unknown optimizer 'os.system'"),
        ({"optimizer": {"algorithm": "Adam", "beta1": 0.5}}, "did you mean 'beta_1'"),
        ({"optimizer": {"learning_rate": 0}}, "greater than 0"),
        ({"optimizer": {"learning_decay": {"decay_steps": 3}}}, "learning_decay needs a 'name'"),
        ({"optimizer": {"learning_decay": {"name": "ExponentialDecay", "steps": 3}}}, "does not take 'steps'"),
        ({"batch_size": 0}, "greater than 0"),
        ({"precision": "bfloat16"}, "'float32', 'mixed_bfloat16' or 'mixed_float16'"),
        ({"GPU": [-1]}, "greater than or equal to 0"),
        ({"early_stopping": {"mode": "up"}}, "'auto', 'min' or 'max'"),
        ({"early_stopping": {"patient": 3}}, "Extra inputs"),
        ({"seed": 2**31}, "less than"),
        ({"deterministic": "yes"}, "true, false or .auto."),
        ({"online": {"freeze_mode": "all"}}, "'none', 'conditional' or 'new-batches'"),
        ({"online": {"new_rows": "random"}}, "'zeros' or 'mean'"),
        ({"online": {"replay": 1.5}}, "less than or equal to 1"),
        ({"online": {"replay": -0.1}}, "greater than or equal to 0"),
        ({"online": {"min_gene_overlap": 0}}, "greater than 0"),
        ({"online": {"min_gene_overlap": 1.1}}, "less than or equal to 1"),
        ({"online": {"freeze": True}}, "Extra inputs"),
    ],
)
def test_faults_are_told(section, message):
    with pytest.raises(ValidationError, match=message):
        TrainingConfig.model_validate(section)


def test_no_early_stopping():
    assert TrainingConfig.model_validate({"early_stopping": None}).early_stopping is None
