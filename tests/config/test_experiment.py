import sys
from types import ModuleType
from typing import Literal

import pytest

from discern.config.experiment import ExperimentConfig, ParametersFile, model_section
from discern.config_section import ConfigSection, validate_section
from discern.errors import ParametersError
from discern.models.catalog import CONFIGS
from discern.models.wae.config import WAEConfig
from discern.registry import Entry, Registry


def file_with(*names):
    return validate_section(ParametersFile, {"experiments": {name: {} for name in names}}, source="file")


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


class CountModelConfig(ConfigSection):
    name: Literal["count_model"] = "count_model"
    width: int = 3


@pytest.fixture
def two_families(monkeypatch):
    """A file section whose ``model`` may be of either of two families."""
    module = ModuleType("count_model")
    module.CountModelConfig = CountModelConfig
    monkeypatch.setitem(sys.modules, "count_model", module)
    families = {**CONFIGS.entries, "count_model": Entry("count_model:CountModelConfig")}

    class Experiment(ConfigSection):
        model: model_section(Registry("model family", families)) = WAEConfig()

    class File(ConfigSection):
        experiments: dict[str, Experiment]

    return lambda model: (
        validate_section(File, {"experiments": {"run": {"model": model}}}, source="file").experiments["run"].model
    )


def test_the_name_decides_the_family(two_families):
    assert two_families({"name": "count_model", "width": 5}) == CountModelConfig(width=5)
    assert two_families({"latent_dim": 5}) == two_families({"name": "wae", "latent_dim": 5}) == WAEConfig(latent_dim=5)
    assert two_families(CountModelConfig()) == CountModelConfig()


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ({"latent_dimm": 5}, "experiments.run.model.latent_dimm: unknown key. Did you mean 'latent_dim'?"),
        ({"encoder": {"layer": [5]}}, "experiments.run.model.encoder.layer: unknown key. Did you mean 'layers'?"),
        ({"name": "count_model", "widht": 5}, "experiments.run.model.widht: unknown key. Did you mean 'width'?"),
        (
            {"name": "count_modell"},
            "experiments.run.model.name: unknown model family 'count_modell'. Did you mean 'count_model'? "
            "Known: wae, count_model (received 'count_modell')",
        ),
        ([], "experiments.run.model: give an object {...} (received [])"),
    ],
)
def test_faults_of_one_of_two_families_have_the_paths_of_the_file(two_families, model, fault):
    with pytest.raises(ParametersError) as error:
        two_families(model)
    assert str(error.value).splitlines()[1:] == [f"  {fault}"]


@pytest.mark.parametrize("name", ["a\nb", "C:x", "C:/x", "a\x7f", "x\r"])
def test_names_with_drives_or_control_characters_are_refused(name):
    with pytest.raises(ParametersError, match="cannot be a folder below experiments_dir"):
        file_with(name)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("ß" * 128, "up to 255 bytes"),
        ("/".join(["y" * 200] * 20), "up to 3,000"),
        ("a\0b", "NUL"),
        ("\ud800", "half a char"),
    ],
)
def test_paths_that_no_file_can_have(path, message):
    for content in (
        {"experiments": {"one": {"input_ds": {"raw_input": [path]}}}},
        {"experiments": {"one": {"input_ds": {"raw_input": {path: None}}}}},
        {"experiments": {"one": {"hyperparameter_search": path}}},
        {"experiments": {"one": {}}, "exp_param": {"experiments_dir": path}},
    ):
        with pytest.raises(ParametersError, match=f"{message}|half a character|valid string"):
            validate_section(ParametersFile, content, source="file")
