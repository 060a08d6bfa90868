"""The training loop: which cells it uses, what it validates on, and that the same seed gives the same bits."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from discern.errors import ExperimentError
from discern.io.cell_sources import RecordSource
from discern.io.tfrecord_writer import TFRecordsWriter, write_records
from discern.optimizers.build import build_optimizer
from discern.training.checkpoints import Checkpoint, load_state, load_weights, save_checkpoint
from discern.training.fit import fit

SETTINGS = {"batch_size": 16, "seed": 3}


def digest(family) -> str:
    weights = family.model.get_weights()
    return hashlib.sha256(b"".join(weight.tobytes() for weight in weights)).hexdigest()


def test_validation_uses_every_cell_in_every_epoch(data, make_family, sources_of):
    family = make_family(data, eager=True)
    seen = []
    original = family.model.test_step

    def count(minibatch):
        seen.append(minibatch[0]["input_data"].shape[0])
        return original(minibatch)

    family.model.test_step = count
    history = fit(family, *sources_of(data), epochs=range(2), **SETTINGS)
    assert seen == [16, 4] * 2  # 20 cells in minibatches of 16
    assert len(history.history["val_loss"]) == 2


def test_an_epoch_makes_one_iterator(data, make_family, sources_of, monkeypatch):
    """That of the validation; making one takes as long as some minibatches."""
    made = []
    original = tf.data.Dataset.__iter__
    monkeypatch.setattr(tf.data.Dataset, "__iter__", lambda dataset: made.append(dataset) or original(dataset))

    def iterators(n_epochs):
        made.clear()
        fit(make_family(data, eager=True), *sources_of(data), epochs=range(n_epochs), **SETTINGS)
        return len(made)

    assert iterators(3) == iterators(1) + 2


def test_validation_terms_are_those_computed_by_hand(data, make_family, sources_of):
    """Over all cells at once, in NumPy, although the last minibatch holds only 4 of 20 cells."""
    family = make_family(data, layers=[8], regularization=0.4)
    history = fit(family, *sources_of(data), epochs=range(2), **SETTINGS).history
    valid = data[data.cells_of("valid")]
    transform = data.transform
    expression = transform.dense(valid.layers["counts"], valid.obs["n_counts"].to_numpy())
    labels = np.eye(2)[valid.obs["batch"].cat.codes]
    latent, log_std = family.encoder.predict_on_batch([expression, labels])
    decoded, probability = family.decoder.predict_on_batch([latent, labels])

    error = np.abs(decoded - expression).astype(np.float64)
    huber = np.where(error <= 9, 0.5 * error**2, 9 * error - 40.5).mean()
    counted = valid.layers["counts"].toarray() > 0
    target = np.where(counted, 1.0, 0.1)
    entropy = -(target * np.log(probability) + (1 - target) * np.log(1 - probability)).mean()
    sigma = (4 * np.abs(log_std).mean(axis=1)).mean()
    expected = {"decoder_counts": huber, "decoder_dropouts": entropy, "sigma_regularization": sigma}
    for term, value in expected.items():
        assert history[f"val_{term}_loss"][-1] == pytest.approx(value, rel=1e-5), term
    weighed = 15000 * huber + 10000 * entropy + 1e-8 * sigma + 1500 * history["val_mmdpp_loss"][-1]
    assert history["val_loss"][-1] == pytest.approx(weighed, rel=1e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_genes_that_were_not_measured_take_no_part(make_data, lack_genes, make_family, sources_of, jit):
    data = lack_genes(make_data())
    family = make_family(data, jit=jit)
    history = fit(family, *sources_of(data), epochs=range(2), **SETTINGS).history
    valid = data.cells_of("valid")
    measured = ~((valid % 3 == 0)[:, None] & (np.arange(20) >= 12))
    counts = data.layers["counts"].toarray()[valid]
    mean, std = data.var["mean_scaling"].to_numpy(), data.var["var_scaling"].to_numpy()
    expression = (np.log1p(counts * 1000 / data.obs["n_counts"].to_numpy()[valid, None]) - mean) / std
    read = np.where(measured, expression, 0.0)  # the scaled mean
    labels = np.eye(2)[data.obs["batch"].cat.codes.to_numpy()[valid]]
    decoded, probability = family.decoder.predict_on_batch([family.encoder.predict_on_batch([read, labels])[0], labels])
    error = np.abs(decoded - expression)
    huber = np.where(measured, np.where(error <= 9, 0.5 * error**2, 9 * error - 40.5), 0).mean()
    target = np.where(counts > 0, 1.0, 0.1)
    entropy = -np.where(measured, target * np.log(probability) + (1 - target) * np.log(1 - probability), 0).mean()
    assert history["val_decoder_counts_loss"][-1] == pytest.approx(huber, rel=1e-4)
    assert history["val_decoder_dropouts_loss"][-1] == pytest.approx(entropy, rel=1e-4)


def test_counts_of_genes_that_were_not_measured_change_nothing(make_data, lack_genes, make_family, sources_of):
    """Weights after training are the same to the bit, whatever the counts say there."""
    digests = set()
    for value in (0, 7):
        data = lack_genes(make_data())
        counts = data.layers["counts"].toarray()
        counts[::3, 12:] = value
        data.layers["counts"] = sparse.csr_matrix(counts)
        family = make_family(data, eager=True)
        fit(family, *sources_of(data), epochs=range(1), **SETTINGS)
        digests.add(digest(family))
    assert len(digests) == 1


def test_same_seed_same_bits_other_seed_others(data, make_family, sources_of):
    def trained(model_seed, order_seed):
        family = make_family(data, seed=model_seed, eager=True)
        fit(family, *sources_of(data), batch_size=16, seed=order_seed, epochs=range(1))
        return digest(family)

    first = trained(1, 1)
    assert trained(1, 1) == first
    assert trained(2, 1) != first
    assert trained(1, 2) != first


@pytest.mark.slow
def test_another_process_trains_the_same_bits(data, make_family, sources_of):
    program = f"""
import hashlib, importlib.util
spec = importlib.util.spec_from_file_location("builders", {str(Path(__file__).with_name("conftest.py"))!r})
builders = importlib.util.module_from_spec(spec)
spec.loader.exec_module(builders)
from discern.training.fit import fit
data = builders.build_data()
family = builders.build_family(data)
fit(family, *builders.sources(data), epochs=range(2), **{SETTINGS!r})
print(hashlib.sha256(b"".join(weight.tobytes() for weight in family.model.get_weights())).hexdigest())
"""
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    family = make_family(data)
    fit(family, *sources_of(data), epochs=range(2), **SETTINGS)
    assert other.split()[-1] == digest(family)


@pytest.mark.parametrize(
    ("records", "lookahead", "eager"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_training_in_two_runs_gives_the_bits_of_one(
    data, make_family, sources_of, tmp_path, monkeypatch, records, lookahead, eager
):
    def new_family():
        optimizer = build_optimizer("RectifiedAdam", 1e-3, {}, lookahead=lookahead)
        return make_family(data, optimizer=optimizer, seed=5, eager=eager)

    if records:
        monkeypatch.setattr(TFRecordsWriter.__init__, "__defaults__", (13,))  # several shards
        write_records(data, tmp_path / "records")
        cells = [RecordSource(tmp_path / "records", split) for split in ("training", "validate")]
    else:
        cells = sources_of(data)

    at_once = new_family()
    whole = fit(at_once, *cells, epochs=range(4), **SETTINGS)

    state = tmp_path / "last_state.hdf5"
    first = new_family()
    early = fit(first, *cells, epochs=range(2), **SETTINGS)
    save_checkpoint(state, first, Checkpoint(2), with_state=True)
    second = new_family()
    load_weights(state, second.model)
    load_state(state, second.model)
    late = fit(second, *cells, epochs=range(2, 4), **SETTINGS)

    assert late.epoch == [2, 3]
    for column, values in whole.history.items():
        assert early.history[column] + late.history[column] == values, column
    assert digest(second) == digest(at_once)
    for mine, other in zip(second.model.optimizer.variables, at_once.model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())


def test_resuming_without_the_state_gives_others(data, make_family, sources_of, tmp_path):
    """Weights alone do not do: the test above would notice a lost optimizer or random stream."""
    at_once, first, second = (make_family(data, seed=5, eager=True) for _ in range(3))
    fit(at_once, *sources_of(data), epochs=range(3), **SETTINGS)
    fit(first, *sources_of(data), epochs=range(2), **SETTINGS)
    save_checkpoint(tmp_path / "state.hdf5", first, Checkpoint(2), with_state=True)
    load_weights(tmp_path / "state.hdf5", second.model)
    fit(second, *sources_of(data), epochs=range(2, 3), **SETTINGS)
    assert digest(second) != digest(at_once)


def test_fewer_cells_than_a_minibatch_still_train(make_data, make_family, sources_of):
    data = make_data(n_cells=12, n_valid=3)
    family = make_family(data, eager=True)
    before = digest(family)
    history = fit(family, *sources_of(data), batch_size=192, seed=0, epochs=range(1))
    assert np.isfinite(history.history["val_loss"]).all()
    assert digest(family) != before


def test_no_epoch_left_leaves_the_weights(data, make_family, sources_of):
    family = make_family(data)
    before = digest(family)
    assert fit(family, *sources_of(data), epochs=range(3, 3), **SETTINGS).epoch == []
    assert digest(family) == before


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
@pytest.mark.parametrize("split", ["training", "validate"])
def test_a_record_file_that_is_damaged_while_training_is_named(data, make_family, tmp_path, split, damage):
    write_records(data, tmp_path / "records")
    cells = [RecordSource(tmp_path / "records", name) for name in ("training", "validate")]
    path = tmp_path / "records" / f"{split}-00000.tfrecords"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.unlink()
    if damage != "gone":
        path.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    with pytest.raises(ExperimentError, match=rf"{path.name} .*Restore them, or .*discern process --force"):
        fit(make_family(data, eager=True), *cells, epochs=range(2), **SETTINGS)
