"""Checkpoints: what comes back, and what is refused."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from discern.errors import ExperimentError, ShapeError
from discern.optimizers.build import build_optimizer
from discern.training.checkpoints import (
    Checkpoint,
    DamagedCheckpointError,
    load_family,
    load_state,
    load_weights,
    random_states,
    read_description,
    save_checkpoint,
)
from discern.training.fit import fit


@pytest.fixture(scope="module")
def trained(make_data, make_family, sources_of):
    data = make_data()
    family = make_family(data, eager=True)
    fit(family, *sources_of(data), batch_size=16, seed=0, epochs=range(1))
    return data, family


@pytest.fixture
def state(trained, tmp_path):
    path = tmp_path / "last_state.hdf5"
    stopping = {"wait": 2, "best": 3.5, "best_epoch": 4, "best_logs": {"val_loss": 3.5}, "stopped": False}
    save_checkpoint(path, trained[1], Checkpoint(7, 3.5, stopping), with_state=True)
    return path


def test_everything_comes_back(trained, state):
    data, family = trained
    name, config, description, checkpoint = read_description(state)
    assert (name, config) == ("wae", family.config)
    assert (description.n_genes, description.batches, description.n_train_cells) == (20, ("old", "new"), 60)
    assert (description.transform.library_size, description.transform.log) == (1000.0, True)
    np.testing.assert_array_equal(description.transform.scaling.mean, data.transform.scaling.mean)
    np.testing.assert_array_equal(description.transform.scaling.std, data.transform.scaling.std)
    assert (checkpoint.epoch, checkpoint.monitored, checkpoint.early_stopping["wait"]) == (7, 3.5, 2)
    again, _ = load_family(state)
    for mine, other in zip(again.model.get_weights(), family.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def remove_checksum(path):
    """Make it a file as earlier versions wrote them."""
    path.write_bytes(path.read_bytes()[512:])


def test_files_without_checksum_load(trained, make_family, state):
    remove_checksum(state)
    assert state.read_bytes().startswith(b"\x89HDF")
    again = make_family(trained[0], seed=9)
    load_weights(state, again.model)
    load_state(state, again.model)
    for mine, other in zip(again.model.get_weights(), trained[1].model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    with h5py.File(state, "r+") as file:
        content = json.loads(file.attrs["description"])
        del content["training"]
        file.attrs["description"] = json.dumps(content)
    assert read_description(state)[3] == Checkpoint(7, 3.5, read_description(state)[3].early_stopping)


@pytest.mark.parametrize("position", [20, 100, 600, 3000, -1])
def test_a_flipped_bit_is_noticed_by_whoever_reads(trained, state, position):
    content = bytearray(state.read_bytes())
    content[position] ^= 4
    state.write_bytes(content)
    for read in (read_description, load_family):
        with pytest.raises(DamagedCheckpointError, match="truncated or damaged: its checksum is another"):
            read(state)
    for load in (load_weights, load_state):
        with pytest.raises(DamagedCheckpointError, match=r"last_state\.hdf5"):
            load(state, trained[1].model)


def test_the_file_before_is_kept_when_the_new_one_is_complete(trained, state, tmp_path, monkeypatch):
    previous, first = tmp_path / "previous.hdf5", state.read_bytes()
    save_checkpoint(state, trained[1], Checkpoint(8), with_state=True, previous=previous)
    assert previous.read_bytes() == first
    assert read_description(state)[3].epoch == 8
    second = state.read_bytes()

    def full_disk(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(h5py.Group, "__setitem__", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(state, trained[1], Checkpoint(9), with_state=True, previous=previous)
    assert (previous.read_bytes(), state.read_bytes()) == (first, second)


def test_gene_names_are_remembered_and_unknown_in_earlier_files(make_data, make_family, tmp_path):
    family, path = make_family(make_data()), tmp_path / "best.hdf5"
    family.data = replace(family.data, genes_sha256="0a1b")
    save_checkpoint(path, family, Checkpoint(), with_state=False)
    assert read_description(path)[2].genes_sha256 == "0a1b"
    remove_checksum(path)
    with h5py.File(path, "r+") as file:
        content = json.loads(file.attrs["description"])
        del content["genes_sha256"]
        file.attrs["description"] = json.dumps(content)
    assert read_description(path)[2].genes_sha256 == ""


def test_data_without_scaling(make_data, make_family, tmp_path):
    family = make_family(make_data(scaled=False))
    save_checkpoint(tmp_path / "best.hdf5", family, Checkpoint(), with_state=False)
    description = read_description(tmp_path / "best.hdf5")[2]
    found, expected = description.transform, family.data.transform
    assert (found.library_size, found.log, found.scaling) == (expected.library_size, expected.log, None)
    np.testing.assert_array_equal(found.fill, expected.fill)


@pytest.mark.parametrize("fixed", [{"mean": "genes", "var": "genes"}, {"mean": 0.5, "var": 2.0}])
def test_the_mean_of_genes_that_were_not_measured_comes_back(make_data, make_family, tmp_path, fixed):
    data, path = make_data(), tmp_path / "best.hdf5"
    data.uns["fixed_scaling"] = fixed
    save_checkpoint(path, make_family(data), Checkpoint(), with_state=False)
    fill = read_description(path)[2].transform.fill
    np.testing.assert_array_equal(fill, data.transform.fill)
    expected = np.zeros(20) if fixed["mean"] == "genes" else (data.var["mean_scaling"] - 0.5) / 2
    np.testing.assert_allclose(fill, expected, rtol=1e-5, atol=1e-6)


def test_files_that_do_not_tell_the_means_load(make_data, make_family, tmp_path):
    """Earlier versions did not write them."""
    data, path = make_data(), tmp_path / "best.hdf5"
    save_checkpoint(path, make_family(data), Checkpoint(), with_state=False)
    remove_checksum(path)
    with h5py.File(path, "r+") as file:
        del file["gene_means"]
    description = read_description(path)[2]
    assert description.transform.gene_means is None
    assert description.same_features(20, ("old", "new"), data.transform)
    np.testing.assert_array_equal(description.transform.fill, np.zeros(20))


def test_random_streams_are_part_of_the_state(trained, make_family, state):
    data, family = trained
    streams = random_states(family.model)
    assert len(streams) == 3  # dropout of the encoder, latent code, MMD++
    other = make_family(data, seed=99)
    assert any((a.numpy() != b.numpy()).any() for a, b in zip(random_states(other.model), streams, strict=True))
    load_state(state, other.model)
    for mine, stored in zip(random_states(other.model), streams, strict=True):
        np.testing.assert_array_equal(mine.numpy(), stored.numpy())


def test_a_lower_learning_rate_is_not_overwritten(trained, make_family, state):
    other = make_family(trained[0], optimizer=build_optimizer("RectifiedAdam", 1e-5, {}))
    load_state(state, other.model)
    assert float(other.model.optimizer.learning_rate) == pytest.approx(1e-5)
    assert int(other.model.optimizer.iterations) == int(trained[1].model.optimizer.iterations) > 0


@pytest.mark.parametrize("lookahead", [False, True])
def test_a_schedule_goes_on_where_it_was(make_data, make_family, tmp_path, lookahead):
    decay = {"name": "ExponentialDecay", "decay_steps": 1, "decay_rate": 0.5}

    def new():
        return make_family(make_data(), optimizer=build_optimizer("Adam", 1e-3, {}, decay, lookahead))

    first, second = new(), new()
    first.model.optimizer.build(first.model.trainable_variables)
    first.model.optimizer.iterations.assign(3)
    save_checkpoint(tmp_path / "state.hdf5", first, Checkpoint(), with_state=True)
    load_state(tmp_path / "state.hdf5", second.model)
    assert float(second.model.optimizer.learning_rate) == pytest.approx(1e-3 / 8)


@pytest.mark.parametrize("change", [{"latent_dim": 5}, {"layers": [9]}, {"layers": [8, 8]}])
def test_another_architecture_is_refused_and_stays_as_it_was(trained, make_family, state, change):
    other = make_family(trained[0], **change)
    before = [weight.copy() for weight in other.model.get_weights()]
    with pytest.raises(ShapeError, match=r"another architecture|has shape"):
        load_weights(state, other.model)
    for mine, weight in zip(other.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, weight)


@pytest.mark.parametrize("algorithm", ["Adam", "SGD", "Lion"])
def test_another_optimizer_is_refused(trained, make_family, state, algorithm):
    other = make_family(trained[0], optimizer=build_optimizer(algorithm, 1e-3, {}))
    with pytest.raises(ShapeError, match="optimizer state does not fit"):
        load_state(state, other.model)


def test_second_optimizer_of_a_process_fits(make_data, make_family, tmp_path):
    """Keras calls it adam_1."""
    first, second = (make_family(make_data(), optimizer=build_optimizer("Adam", 1e-3, {})) for _ in range(2))
    first.model.optimizer.build(first.model.trainable_variables)
    save_checkpoint(tmp_path / "state.hdf5", first, Checkpoint(), with_state=True)
    load_state(tmp_path / "state.hdf5", second.model)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(trained, state, share):
    content = state.read_bytes()
    state.write_bytes(content[: int(share * len(content))])
    for read in (read_description, load_family):
        with pytest.raises(ExperimentError, match="truncated or damaged"):
            read(state)
    with pytest.raises(ExperimentError, match="truncated or damaged"):
        load_weights(state, trained[1].model)


def no_weights(file):
    del file["weights"]


def no_description(file):
    del file.attrs["description"]


def description_is_no_json(file):
    file.attrs["description"] = "{"


def description_is_a_list(file):
    file.attrs["description"] = "[]"


def description_lacks_a_key(file):
    file.attrs["description"] = json.dumps({"family": "wae"})


def configuration_is_invalid(file):
    content = json.loads(file.attrs["description"])
    content["config"]["latent_dim"] = -1
    file.attrs["description"] = json.dumps(content)


@pytest.mark.parametrize(
    "damage",
    [
        *(no_weights, no_description, description_is_no_json, description_is_a_list, description_lacks_a_key),
        configuration_is_invalid,
    ],
)
def test_a_damaged_file_is_refused(state, damage):
    remove_checksum(state)
    with h5py.File(state, "r+") as file:
        damage(file)
    with pytest.raises(
        ExperimentError, match="(?s)truncated or damaged.* Restore it .*, or .* `discern train --restart`"
    ):
        load_family(state)


def test_other_files_and_none_are_refused(tmp_path):
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["weights"] = np.zeros(2)
    with pytest.raises(ExperimentError, match="not written by this program"):
        read_description(tmp_path / "other.hdf5")
    with pytest.raises(ExperimentError, match="does not exist.*discern train"):
        read_description(tmp_path / "absent.hdf5")


def test_a_failed_write_keeps_the_file_before(trained, state, monkeypatch):
    before = state.read_bytes()

    def full_disk(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(h5py.Group, "__setitem__", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(state, trained[1], Checkpoint(8), with_state=True)
    assert state.read_bytes() == before
    assert [path.name for path in state.parent.iterdir()] == [state.name]


def test_no_pickle_in_the_file(trained, state):
    with h5py.File(state) as file:
        kinds = set()
        file.visititems(lambda name, item: kinds.add(item.dtype.kind) if isinstance(item, h5py.Dataset) else None)
    assert kinds <= set("fiu")
