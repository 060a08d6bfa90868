import json
import pickle
from pathlib import Path

import pytest

from discern.errors import ParametersError
from discern.workflows.experiment import experiment_of_folder, read_experiments


@pytest.mark.parametrize("name", ["run", "group/run", "a/b/c"])
def test_the_folder_of_all_experiments(experiments, name):
    one = experiments(None, **{name: None})[0]
    assert one.folder.path == Path("exps") / name
    assert one.experiments_dir == Path("exps")


def test_experiments_can_be_sent_to_another_process(experiment):
    one = experiment()
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own bytes


def test_inputs_are_looked_up_from_here_then_beside_the_parameters(here):
    (here / "project").mkdir()
    for place in (here / "both.h5ad", here / "project" / "both.h5ad", here / "project" / "beside.h5ad"):
        place.touch()
    section = {"raw_input": {"both.h5ad": None, "beside.h5ad": "donor", "absent.h5ad": None, "/abs.h5ad": None}}
    path = here / "project" / "parameters.json"
    path.write_text(json.dumps({"experiments": {"run": {"input_ds": section}}}))
    found = read_experiments(Path("project/parameters.json"))[0].input_paths()
    assert found == {
        Path("both.h5ad"): None,
        here / "project" / "beside.h5ad": "donor",
        Path("absent.h5ad"): None,
        Path("/abs.h5ad"): None,
    }


def test_the_experiment_of_a_folder(here):
    (here / "exps" / "run").mkdir(parents=True)
    (here / "exps" / "run" / "parameters.json").write_text('{"training": {"seed": 4}}')
    one = experiment_of_folder(Path("exps/run"))
    assert (one.name, one.folder.path, one.experiments_dir) == ("run", here / "exps" / "run", here / "exps")
    assert one.config.training.seed == 4


def test_another_seed_is_in_configuration_and_content(experiment):
    one = experiment(lambda content: content["training"].update(seed=3))
    other = one.with_seed(7)
    assert (other.config.training.seed, other.content["training"]["seed"]) == (7, 7)
    assert other.config.input_ds == one.config.input_ds
    assert (one.config.training.seed, one.content["training"]["seed"]) == (3, 3)
    of_both = one.with_seed(8, of_split=True)
    assert (of_both.config.training.seed, of_both.config.input_ds.split.split_seed) == (8, 8)
    assert of_both.content["input_ds"]["split"] == {"split_seed": 8}
    assert "split" not in one.content["input_ds"]


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_seeds_out_of_range_are_refused(experiment, seed):
    with pytest.raises(ParametersError, match="experiment run has 1 invalid entry"):
        experiment().with_seed(seed)


def test_online_training_writes_the_seed_it_used(experiment):
    from discern.workflows.online_training import _parameters_with

    one = experiment()
    assert "seed" not in _parameters_with(one, {Path("new.h5ad"): None})["training"]
    assert _parameters_with(one.with_seed(7), {Path("new.h5ad"): None})["training"]["seed"] == 7
    one.folder.path.mkdir(parents=True)
    one.folder.parameters_file.write_text('{"input_ds": {"raw_input": []}}')
    assert _parameters_with(one.with_seed(7), {Path("new.h5ad"): None})["training"] == {"seed": 7}
