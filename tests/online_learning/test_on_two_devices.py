"""Online training on two devices: what is frozen stays, what is new is that of one device."""

import shutil

import numpy as np
import pytest

from discern.training.checkpoints import load_family
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.online_training import train_online

PROGRAM = """
import sys
from pathlib import Path
from discern.training import several_devices
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.online_training import train_online

several_devices.visible_gpus = lambda: TWO
train_online(experiment_of_folder(Path(sys.argv[1])), Path(sys.argv[2]), freeze=True, gpus=[0, 1])
"""


def weights(folder):
    return {variable.path: variable.numpy() for variable in load_family(folder.best_model)[0].model.weights}


@pytest.mark.slow
def test_frozen_layers_stay_and_the_others_are_those_of_one_device(
    tmp_path, trained_folder, input_paths, run_on_two_cpus
):
    before, one, two = (experiment_of_folder(shutil.copytree(trained_folder, tmp_path / name)) for name in "abc")
    run_on_two_cpus(PROGRAM, two.folder.path.absolute(), input_paths[2].absolute())
    train_online(one, input_paths[2], freeze=True, gpus=[])
    old, expected, found = (weights(experiment.folder) for experiment in (before, one, two))
    grown = [path for path in old if old[path].shape != found[path].shape]
    assert grown
    for path in old:
        if path in grown:
            np.testing.assert_allclose(found[path], expected[path], rtol=0, atol=1e-3 * np.abs(expected[path]).max())
            assert found[path][len(old[path]) :].any()  # new rows start at 0
        else:
            np.testing.assert_array_equal(found[path], old[path])
