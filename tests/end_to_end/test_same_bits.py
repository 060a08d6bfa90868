"""One seed gives the same bytes, whatever else is different; another seed gives others."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import anndata
import numpy as np
import pytest

RECORD = "provenance.json"  # tells times
IN_TRAINING = """
import sys
from pathlib import Path
from discern.training import devices
from discern.workflows.experiment import read_experiments
from discern.workflows.runner import DISCERNRunner
devices.available_cpus = lambda: 4  # more threads than many machines have, so that they come in any order
for name in sys.argv[2:]:
    (one,) = [one for one in read_experiments(Path(sys.argv[1])) if one.name == name]
    for mode in ("train", "project"):
        DISCERNRunner(gpus=[])(mode, [one])
"""


def digests(folder):
    """SHA-256 of every file of an experiment by its name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != RECORD]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def steps(folder):
    return json.loads((folder / RECORD).read_text())["steps"]


def test_two_jobs_give_the_same_files(job, second_job):
    found = digests(job.experiment)
    assert found == digests(second_job.experiment)
    assert {"job/best_model.hdf5", "projected/unprojected.h5ad", "processed_data/concatenated_data.h5ad"} < set(found)


@pytest.mark.parametrize("cpus", [1, 3])
def test_processing_gives_the_same_files_on_any_number_of_cpus(job, here, discern, parameters, cpus):
    shutil.copy(job.folder / "cells.h5ad", here)
    change = {"run": lambda content: content["input_ds"].update(n_cpus_preprocessing=cpus)}
    assert discern("process", parameters(**change), "-q").exit_code == 0
    found = digests(here / "exps" / "run")
    expected = {name: digest for name, digest in digests(job.experiment).items() if name in found}
    del found["parameters.json"], expected["parameters.json"]  # they tell the number
    assert found == expected
    assert len(found) == 4


def test_another_seed_processes_into_other_parts(trained, discern):
    before = digests(trained)
    assert discern("process", "parameters.json", "--force", "--seed", "0", "-q").exit_code == 0
    unchanged = {name for name, digest in digests(trained).items() if before[name] == digest}
    assert set(before) - unchanged == {"parameters.json"}  # it names the seed now
    assert discern("process", "parameters.json", "--force", "--seed", "1", "-q").exit_code == 0
    after = digests(trained)
    for name in ("processed_data/concatenated_data.h5ad", "TF_records/training-00000.tfrecords"):
        assert after[name] != before[name]


def test_the_seed_of_project_draws_the_zeros_only(job, trained, discern):
    first = anndata.read_h5ad(job.experiment / "projected" / "unprojected.h5ad")
    file = trained / "projected" / "unprojected.h5ad"
    assert discern("project", "parameters.json", "-q").exit_code == 0
    assert file.read_bytes() == (job.experiment / "projected" / "unprojected.h5ad").read_bytes()
    assert discern("project", "parameters.json", "--seed", "1", "-q").exit_code == 0
    second = anndata.read_h5ad(file)
    assert (first.X != second.X).nnz > 0.01 * first.n_obs * first.n_vars
    np.testing.assert_array_equal(second.obsm["X_DISCERN"], first.obsm["X_DISCERN"])
    for layer in first.layers:
        np.testing.assert_array_equal(second.layers[layer], first.layers[layer])
    model = hashlib.sha256((trained / "job" / "best_model.hdf5").read_bytes()).hexdigest()
    assert (second.uns["discern"]["seed"], second.uns["discern"]["model_sha256"]) == (1, model)
    assert not any("time" in key or "date" in key for key in second.uns["discern"])
    step = steps(trained)[-1]
    assert step["seeds"] == {"training.seed": 1}
    assert step["inputs"][0]["sha256"] == model


def test_the_steps_of_a_job_are_told(job):
    process, train, project = steps(job.experiment)
    assert [one["step"] for one in (process, train, project)] == ["process", "train", "project"]
    assert {one["outcome"] for one in (process, train, project)} == {"finished"}
    assert train["command"] == "discern train parameters.json"
    assert train["result"]["epochs"] == 2
    assert train["inputs"][0]["sha256"] == digests(job.experiment)["processed_data/concatenated_data.h5ad"]
    assert project["inputs"][1] == train["inputs"][0]
    assert project["versions"]["tensorflow"] is not None


@pytest.fixture
def wide(here, job, parameters):
    """The processed data of the main job twice, for wide networks with dropout that train on four threads."""

    def change(seed):
        def apply(content):
            content["model"] |= {
                "encoder": {"layers": [256], "regularization": 0.3},
                "decoder": {"layers": [256], "regularization": 0.3},
            }
            content["training"] |= {"parallel_pc": 4, "seed": seed}

        return apply

    path = parameters(a=change(0), b=change(1))
    for name in ("a", "b"):
        for part in ("processed_data", "TF_records"):
            shutil.copytree(job.experiment / part, here / "exps" / name / part)
    return path


@pytest.mark.slow
def test_training_on_several_threads_gives_the_same_files_in_any_process(wide, here):
    """The second process trains in the other order: nothing of the first experiment reaches the second."""
    found = []
    for order in (["a", "b"], ["b", "a"]):
        command = [sys.executable, "-c", IN_TRAINING, str(wide), *order]
        variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        finished = subprocess.run(command, cwd=here, env=variables, capture_output=True, text=True, timeout=400)
        assert finished.returncode == 0, finished.stderr[-4000:]
        found.append({name: digests(here / "exps" / name) for name in order})
        for name in order:
            shutil.rmtree(here / "exps" / name / "job")
            shutil.rmtree(here / "exps" / name / "projected")
    assert found[0] == found[1]
    of_a, of_b = found[0]["a"], found[0]["b"]
    for name in ("job/best_model.hdf5", "projected/unprojected.h5ad"):
        assert of_a[name] != of_b[name]
    assert of_a["processed_data/concatenated_data.h5ad"] == of_b["processed_data/concatenated_data.h5ad"]
