import pytest

from discern.config.experiment import ExperimentConfig, ParametersFile
from discern.config.loading import validated
from discern.errors import ParametersError


def file_with(*names):
    return validated(ParametersFile, {"experiments": {name: {} for name in names}}, "file")


@pytest.mark.parametrize("name", ["run1", "a b", "größe", "v1.2", "..x", "group/run1", "a/b/c", "float", "run[1]"])
def test_names_of_folders(name):
    assert list(file_with(name).experiments) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        " ",
        "../x",
        "a/../b",
        "a/..",
        "./a",
        "/abs",
        "//abs",
        "a//b",
        "a/",
        "a\\b",
        "a\0b",
        "a/ /b",
        "...",
    ],
)
def test_names_that_leave_the_folder_are_refused(name):
    with pytest.raises(ParametersError, match="cannot be a folder below experiments_dir"):
        file_with("good", name)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("run", "Run"), "'run' and 'Run' differ only by case"),
        (("a/x", "A/X"), "differ only by case"),
        (("run", "run/job"), "'run/job' would lie inside the folder of experiment 'run'"),
        (("a/b/c", "A"), "'a/b/c' would lie inside the folder of experiment 'A'"),
    ],
)
def test_experiments_that_would_share_a_folder_are_refused(names, message):
    with pytest.raises(ParametersError, match=message):
        file_with(*names)


def test_neighbours_are_no_parents():
    assert list(file_with("run", "run1", "group/run", "group/run1").experiments)[0] == "run"


def test_sections_are_frozen():
    config = ExperimentConfig()
    with pytest.raises(ValueError, match="frozen"):
        config.training.batch_size = 3


def test_defaults_are_the_published_ones():
    config = ExperimentConfig()
    assert (config.input_ds.filtering.min_genes, config.input_ds.filtering.min_cells) == (400, 3)
    assert (config.model.latent_dim, config.model.encoder.layers) == (48, [1024, 512, 256])
    assert (config.model.encoder.regularization, config.model.decoder.regularization) == (0.4, 0.0)
    assert config.model.decoder.layers == [256, 512, 1024]
    assert config.model.reconstruction_loss == {"name": "HuberLoss", "delta": 9.0}
    assert (config.training.batch_size, config.training.max_steps, config.training.parallel_pc) == (192, 200, 5)
    assert config.training.optimizer.arguments == {"beta_1": 0.85, "beta_2": 0.95}
    assert (config.training.early_stopping.delay, config.training.early_stopping.patience) == (5, 30)
