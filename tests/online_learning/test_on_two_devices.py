"""Online training on two devices: what is frozen stays, what is new is that of one device."""

import pickle
import shutil
from pathlib import Path

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

NEW_ROWS = f"""
import importlib.util, pickle, sys
from pathlib import Path
import numpy as np
spec = importlib.util.spec_from_file_location("cases", {str(Path(__file__).with_name("test_freezing.py"))!r})
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)
from discern.training.several_devices import on_devices

cases.MODEL["conditional_regularization"] = None
cells, result = cases.cells_of(cases.BATCHES), []
old = cases.family_of(cases.BATCHES[:2], cells, seed=3)
arguments = {{"weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.7}}
for devices in ([], TWO):
    with on_devices(devices):
        made = cases.family_of(cases.BATCHES, cells, seed=4)
        cases.widen(old, made, new_rows="mean", freeze_mode="new-batches")
        before = cases.weights(made)
        made.compile(cases.build_optimizer("RectifiedAdam", 0.01, arguments, lookahead=True), jit_compile=False)
    sources = [cases.MemorySource(cells, cases.BATCHES, cells.cells_of(split)) for split in ("train", "valid")]
    cases.fit(made, *sources, batch_size=7, seed=0, epochs=range(2))
    copies = [np.array([copy.numpy() for copy in variable.value.values]) if devices else None
              for variable in made.model.weights]
    result.append((before, cases.weights(made), copies))
Path(sys.argv[1]).write_bytes(pickle.dumps(result))
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


@pytest.mark.slow
def test_all_but_new_rows_stays_to_the_bit_on_every_device(tmp_path, run_on_two_cpus):
    """With weight decay, averages and Lookahead; minibatches do not divide."""
    run_on_two_cpus(NEW_ROWS, tmp_path / "result")
    (before, one, _), (same, two, copies) = pickle.loads((tmp_path / "result").read_bytes())  # noqa: S301 - our own
    n_grown = 0
    for path, copy in zip(two, copies, strict=True):
        np.testing.assert_array_equal(before[path], same[path])
        np.testing.assert_array_equal(copy[0], copy[1])
        if np.array_equal(one[path], before[path]):
            np.testing.assert_array_equal(two[path], before[path])
            continue
        n_grown += 1
        np.testing.assert_array_equal(two[path][:2], before[path][:2])
        assert (two[path][2] != before[path][2]).any()
        np.testing.assert_allclose(two[path][2], one[path][2], rtol=0, atol=1e-3 * np.abs(one[path][2]).max())
    assert n_grown == 2
