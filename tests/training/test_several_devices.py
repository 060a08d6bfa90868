"""Training on two devices gives what one device gives; two logical CPUs stand for the GPUs."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from discern.errors import ParametersError
from discern.training import several_devices
from discern.training.config import TrainingConfig
from discern.training.several_devices import on_gpus

BUILDERS = f"""
import importlib.util, pickle, sys
from pathlib import Path
import keras
import numpy as np
spec = importlib.util.spec_from_file_location("builders", {str(Path(__file__).with_name("conftest.py"))!r})
builders = importlib.util.module_from_spec(spec)
spec.loader.exec_module(builders)
from discern.optimizers.build import build_optimizer
from discern.training.checkpoints import Checkpoint, load_state, load_weights, random_states, save_checkpoint
from discern.training.fit import fit
from discern.training.several_devices import on_devices

data = builders.build_data(n_cells=31, n_valid=16)
folder = Path(sys.argv[1])

def family_on(devices, eager=False, lookahead=False, **model):
    with on_devices(devices):
        optimizer = build_optimizer("RectifiedAdam", 1e-3, {{}}, lookahead=lookahead)
        return builders.build_family(data, seed=3, eager=eager, optimizer=optimizer, **model)

def train(family, epochs, callbacks=(), data=data):
    # One step per epoch: 15 cells, which two devices cannot part evenly. The last minibatch of the 16 validation cells
    # holds a single one.
    arguments = {{"batch_size": 15, "seed": 3, "callbacks": callbacks}}
    return fit(family, *builders.sources(data), epochs=epochs, **arguments).history

def state(family):
    variables = [*family.model.weights, *random_states(family.model), *family.model.optimizer.variables]
    return [variable.numpy() for variable in variables]

def copies_differ(family):
    variables = [*family.model.weights, *random_states(family.model), *family.model.optimizer.variables]
    return [
        variable.path for variable in variables
        if not np.array_equal(*[copy.numpy() for copy in variable.value.values])
    ]
"""
SAME = """
one, two = family_on([], regularization=0.4), family_on(TWO, regularization=0.4)
content = {"first": [(train(family, range(1)), state(family)) for family in (one, two)],
           "later": [(train(family, range(1, 4)), state(family)) for family in (one, two)],
           "differ": copies_differ(two)}
(folder / "result").write_bytes(pickle.dumps(content))
"""
LACKING = """
data = builders.without_some_genes(data)
content = []
for loss in ("HuberLoss", {"name": "Lnorm", "p": 2, "use_root": True}):
    families = [family_on(devices, reconstruction_loss=loss) for devices in ([], TWO)]
    content.append([(train(family, range(1), data=data), state(family)) for family in families])
(folder / "result").write_bytes(pickle.dumps(content))
"""
RESUMED = """
class Save(keras.callbacks.Callback):
    def __init__(self, family, path):
        super().__init__()
        self.family, self.path = family, path

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            save_checkpoint(self.path, self.family, Checkpoint(1), with_state=True)

def resumed(devices, path):
    family = family_on(devices, lookahead=True)
    load_weights(path, family.model)
    load_state(path, family.model)
    return train(family, range(1, 3)), state(family)

whole = {}
for name, devices in (("one", []), ("two", TWO)):
    family = family_on(devices, lookahead=True)
    whole[name] = train(family, range(3), [Save(family, folder / name)]), state(family)
content = {"whole": whole, "one": resumed([], folder / "two"), "two": resumed(TWO, folder / "one"),
           "again": resumed(TWO, folder / "two")}
(folder / "result").write_bytes(pickle.dumps(content))
"""
TERMS = """
model = {"reconstruction_loss": {"name": "Lnorm", "p": 2, "use_root": True}}
families = [family_on(devices, **model) for devices in ([], TWO)]
content = [(train(family, range(1)), state(family)) for family in families]
(folder / "result").write_bytes(pickle.dumps(content))
"""
DIVERGED = """
from discern.errors import DivergenceError

family = family_on(TWO)
# in the share of the second device
broken = builders.build_data(n_cells=31, n_valid=16)
broken.obs["n_counts"] = broken.obs["n_counts"].where(broken.obs_names != "cell14", np.nan)
try:
    train(family, range(1), data=broken)
except DivergenceError as error:
    print(error)
"""


def result_of(run_on_two_cpus, program, folder):
    run_on_two_cpus(BUILDERS + program, folder)
    return pickle.loads((folder / "result").read_bytes())  # noqa: S301 - written by the line above


def assert_same_training(first, second, tolerance=2e-5, of_state=2e-3):
    """Histories and states agree up to the rounding of float32; with the steps it grows, most of all in the moments."""
    (history, states), (other_history, other_states) = first, second
    assert list(history) == list(other_history)
    for column in history:
        np.testing.assert_allclose(history[column], other_history[column], rtol=tolerance, err_msg=column)
    for mine, other in zip(states, other_states, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=of_state * np.abs(mine).max())


def test_two_devices_train_as_one(run_on_two_cpus, tmp_path):
    """Weights, optimizer, random streams and all terms, with dropout and a minibatch that does not divide."""
    result = result_of(run_on_two_cpus, SAME, tmp_path)
    assert_same_training(*result["first"], tolerance=2e-6, of_state=5e-6)
    assert_same_training(*result["later"])
    assert result["differ"] == []  # the devices hold the same bits
    terms = ("decoder_counts_loss", "decoder_dropouts_loss", "mmdpp_loss", "sigma_regularization_loss", "loss")
    assert set(result["later"][1][0]) == {*terms, *(f"val_{term}" for term in terms)}


@pytest.mark.slow
def test_training_is_taken_up_on_another_number_of_devices(run_on_two_cpus, tmp_path):
    result = result_of(run_on_two_cpus, RESUMED, tmp_path)
    whole_history, whole_state = result["whole"]["one"]
    late = {column: values[1:] for column, values in whole_history.items()}
    for run in ("one", "two", "again"):
        assert_same_training((late, whole_state), result[run])
    assert_same_training((whole_history, whole_state), result["whole"]["two"])
    for mine, other in zip(result["again"][1], result["whole"]["two"][1], strict=True):
        np.testing.assert_array_equal(mine, other)  # on the same devices not even rounding differs


@pytest.mark.slow
def test_losses_over_all_cells_agree(run_on_two_cpus, tmp_path):
    assert_same_training(*result_of(run_on_two_cpus, TERMS, tmp_path))


@pytest.mark.slow
def test_genes_that_were_not_measured_are_left_out_on_every_device(run_on_two_cpus, tmp_path):
    for one, two in result_of(run_on_two_cpus, LACKING, tmp_path):
        assert_same_training(one, two, tolerance=2e-6, of_state=5e-6)


@pytest.mark.slow
def test_divergence_on_one_device_names_the_term(run_on_two_cpus, tmp_path):
    message = run_on_two_cpus(BUILDERS + DIVERGED, tmp_path)
    assert "Training diverged in epoch 1" in message
    assert "is not finite" in message


@pytest.fixture
def strategies(monkeypatch):
    """The devices of every strategy that was asked for, on a machine with three GPUs."""
    asked = []
    monkeypatch.setattr(several_devices, "visible_gpus", lambda: ["GPU:0", "GPU:1", "GPU:2"])
    monkeypatch.setattr(several_devices, "on_devices", asked.append)
    return asked


@pytest.mark.parametrize(
    ("gpus", "batch_size", "n_cells", "used"),
    [([0, 1], 192, 1000, 2), ([0, 1, 2], 2, 1000, 2), ([0, 1, 2], 192, 2, 2), ([0, 1], 1, 1000, 1)],
)
def test_no_more_gpus_than_named_and_than_cells_of_a_minibatch(strategies, gpus, batch_size, n_cells, used):
    on_gpus(gpus, TrainingConfig(batch_size=batch_size), n_cells)
    assert strategies == [[f"GPU:{number}" for number in range(used)]]


@pytest.mark.parametrize("gpus", [[], [1]])
def test_one_gpu_needs_no_strategy(strategies, gpus):
    with on_gpus(gpus, TrainingConfig.model_validate({"optimizer": {"clipnorm": 1.0}}), 1000):
        assert strategies == []


@pytest.mark.parametrize("argument", ["clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps"])
def test_arguments_that_need_the_whole_gradient_are_refused(strategies, argument):
    config = TrainingConfig.model_validate({"optimizer": {"algorithm": "Adam", argument: 2}})
    with pytest.raises(ParametersError, match=f"training.optimizer.{argument} cannot be used on 2 GPUs"):
        on_gpus([0, 1], config, 1000)
    assert strategies == []
