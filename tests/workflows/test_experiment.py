import json
import pickle
from pathlib import Path

import pytest

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
