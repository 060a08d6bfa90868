"""``train`` on two devices: early stopping, checkpoints, and going on with one; logical CPUs stand for the GPUs."""

import json

import numpy as np
import pytest

from discern.training.checkpoint_callback import read_history
from discern.training.checkpoints import load_family, read_description
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.process import process
from discern.workflows.train import train

PROGRAM = """
import sys
from pathlib import Path
from discern.training import several_devices
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.train import train

several_devices.visible_gpus = lambda: TWO
print(train(experiment_of_folder(Path(sys.argv[1])), gpus=[0, 1]).epochs)
"""


def with_early_stopping(content):
    limits = {"delay": 0, "patience": 1, "min_delta": 1e9}  # nothing is an improvement: over after the second epoch
    content["training"] |= {"max_steps": 4, "early_stopping": limits, "batch_size": 31}


@pytest.mark.slow
def test_training_stops_early_on_two_devices_and_goes_on_with_one(experiment, run_on_two_cpus):
    built = experiment(with_early_stopping)
    folder = built.folder
    process(built)
    assert run_on_two_cpus(PROGRAM, folder.path.absolute()).split()[-1] == "2"
    state = read_description(folder.last_state)[3]
    assert (state.epoch, state.early_stopping["stopped"]) == (2, True)
    of_two = read_history(folder.history)
    weights = load_family(folder.last_state)[0].model.get_weights()

    for path in (folder.last_state, folder.previous_state, folder.best_model, folder.history):
        path.rename(path.with_name(f"two_{path.name}"))
    assert train(experiment_of_folder(folder.path), gpus=[]).epochs == 2
    for mine, other in zip(read_history(folder.history), of_two, strict=True):
        assert {column: float(value) for column, value in mine.items()} == pytest.approx(
            {column: float(value) for column, value in other.items()}, rel=2e-5, abs=1e-5
        )
    for mine, other in zip(load_family(folder.last_state)[0].model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=2e-3 * np.abs(mine).max())

    (folder.job / f"two_{folder.last_state.name}").replace(folder.last_state)
    content = json.loads(folder.parameters_file.read_text())
    content["training"]["early_stopping"] = None
    folder.parameters_file.write_text(json.dumps(content))
    assert train(experiment_of_folder(folder.path), gpus=[]).epochs == 4
    assert read_description(folder.last_state)[3].epoch == 4
