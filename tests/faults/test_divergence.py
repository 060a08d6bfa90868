"""Training that breaks: the term, the minibatch and the cells that broke it are named; the loop stops at once."""

import importlib.util
import math
import re
from pathlib import Path

import numpy as np
import pytest

from discern.errors import DivergenceError
from discern.io.cell_sources import MemorySource, RecordSource
from discern.io.minibatches import sparse_training_minibatches
from discern.io.tfrecord_writer import write_records
from discern.training.fit import fit

_SPEC = importlib.util.spec_from_file_location(
    "training_builders", Path(__file__).parents[1] / "training" / "conftest.py"
)
builders = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(builders)

BATCH_SIZE, SEED = 16, 3


def message_of(family, sources, epochs=range(2)):
    with pytest.raises(DivergenceError) as caught:
        fit(family, *sources, batch_size=BATCH_SIZE, seed=SEED, epochs=epochs)
    assert caught.value.exit_code == 6
    return str(caught.value)


def minibatch_with(source, suspicious, epoch=0):
    """The number of the minibatch in which a cell stands, by its library size, found by reading the epoch in order."""
    n_minibatches = source.n_cells // BATCH_SIZE
    epochs = sparse_training_minibatches(source, BATCH_SIZE, SEED, epoch).take(n_minibatches)
    (found,) = [
        number
        for number, cells in enumerate(epochs.as_numpy_iterator(), start=1)
        if suspicious(cells["library_size"]).any()
    ]
    return found


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("first_broken", [1, 5, 22, 30])
def test_the_minibatch_is_named_although_not_every_one_is_checked(first_broken, eager):
    data = builders.build_data(n_cells=30 * BATCH_SIZE + 20)  # 30 minibatches, 20 cells to validate on
    family = builders.build_family(data, eager=eager)
    terms = family.model.objective.terms

    def breaking(*args):
        from keras import ops

        found = dict(terms(*args))
        step = family.model.optimizer.iterations
        found["mmdpp"] = ops.where(ops.equal(step, first_broken - 1), math.inf, 1.0) * found["mmdpp"]
        return found

    family.model.objective.terms = breaking
    message = message_of(family, builders.sources(data))
    assert f"diverged in minibatch {first_broken} of epoch 1: mmdpp_loss is not finite" in message
    assert "No weights were saved yet" in message
    assert "learning_rate" in message


def test_a_total_that_breaks_alone_is_not_laid_to_the_terms():
    """The regularisation of the layers is in no term; the next step would break all of them."""
    data = builders.build_data()
    family = builders.build_family(data, eager=True)
    compute_loss = family.model.compute_loss
    family.model.compute_loss = lambda *inputs, **named: (
        compute_loss(*inputs, **named) * (math.nan if int(family.model.optimizer.iterations) == 1 else 1.0)
    )
    assert "minibatch 2 of epoch 1: loss is not finite" in message_of(family, builders.sources(data))


@pytest.mark.parametrize("records", [False, True])
@pytest.mark.parametrize(
    ("library_size", "told"), [(math.nan, "library size nan"), (0.0, "library size 0"), (-5.0, "library size -5")]
)
def test_cells_with_an_impossible_library_size_are_named(tmp_path, records, library_size, told):
    data = builders.build_data()
    cell = int(data.cells_of("train")[7])
    data.obs.iloc[cell, data.obs.columns.get_loc("n_counts")] = library_size
    if records:
        write_records(data, tmp_path / "records")
        sources = [RecordSource(tmp_path / "records", split) for split in ("training", "validate")]
    else:
        sources = builders.sources(data)
    step = minibatch_with(sources[0], lambda sizes: ~(sizes > 0))
    message = message_of(builders.build_family(data, eager=True), sources)
    assert f"in minibatch {step} of epoch 1" in message
    batch = data.obs["batch"].iloc[cell]
    largest = data.layers["counts"][cell].max()
    assert f"in minibatch {step}, a cell of batch '{batch}' with {told}, largest count {largest:g} and" in message
    assert "; a cell" not in message  # no other cell is accused


def test_an_absurd_count_is_named_in_a_later_epoch():
    """In epoch 1 the cell is in the remainder that is left out or broke nothing: counts alone do not make NaN."""
    data = builders.build_data(scaled=False)
    cell = int(data.cells_of("train")[3])
    counts = data.layers["counts"]
    counts.data[counts.indptr[cell]] = 3e38  # its sum with the rest overflows after normalisation
    data.obs.iloc[cell, data.obs.columns.get_loc("n_counts")] = 2.0
    message = message_of(builders.build_family(data, eager=True), builders.sources(data))
    assert re.search(r"with library size 2, largest count 3e\+38 and largest value after scaling inf", message)


def test_cells_to_validate_on_are_named():
    data = builders.build_data()
    cell = int(data.cells_of("valid")[5])
    data.obs.iloc[cell, data.obs.columns.get_loc("n_counts")] = math.nan
    message = message_of(builders.build_family(data, eager=True), builders.sources(data))
    assert "diverged in epoch 1: val_" in message
    assert "among the cells to validate on, a cell of batch" in message
    assert message.count("a cell of batch") == 1


def test_many_cells_are_counted_not_listed():
    data = builders.build_data()
    data.obs["n_counts"] = np.float32(np.nan)
    message = message_of(builders.build_family(data, eager=True), builders.sources(data))
    assert "minibatch 1 of epoch 1" in message
    assert message.count("a cell of batch") == 5
    assert "and 11 more" in message


def test_sound_cells_are_not_accused():
    data = builders.build_data()
    family = builders.build_family(data, eager=True)
    family.model.trainable_variables[0].assign(family.model.trainable_variables[0] * math.nan)
    message = message_of(family, builders.sources(data))
    assert "minibatch 1 of epoch 1" in message
    assert "to blame" not in message
    assert "Lower training.optimizer.learning_rate" in message


def test_divergence_on_real_learning_rates_stops_within_the_epoch():
    data = builders.build_data(n_cells=30 * BATCH_SIZE + 20)
    family = builders.build_family(data, optimizer=builders.build_optimizer("SGD", 1e30, {}), eager=True)
    seen = []
    original = family.model.train_step
    family.model.train_step = lambda cells: seen.append(1) or original(cells)
    message = message_of(family, [MemorySource(data, data.batches, data.cells_of(s)) for s in ("train", "valid")])
    assert "of epoch 1" in message
    assert len(seen) <= 21


ON_TWO_DEVICES = f"""
import importlib.util
from keras import ops
spec = importlib.util.spec_from_file_location("builders", {str(Path(__file__).parents[1] / "training" / "conftest.py")!r})
builders = importlib.util.module_from_spec(spec)
spec.loader.exec_module(builders)
from discern.errors import DivergenceError
from discern.training.fit import fit
from discern.training.several_devices import on_devices

data = builders.build_data(n_cells=9 * 15 + 20)
cell = int(data.cells_of("train")[7])
data.obs.iloc[cell, data.obs.columns.get_loc("n_counts")] = float("nan")
for devices in ([], TWO):
    with on_devices(devices):
        family = builders.build_family(data)
    try:
        fit(family, *builders.sources(data), batch_size=15, seed=3, epochs=range(1))
    except DivergenceError as error:
        print(error)
"""


@pytest.mark.slow
def test_two_devices_name_the_minibatch_that_one_names(run_on_two_cpus):
    one, two = run_on_two_cpus(ON_TWO_DEVICES).splitlines()
    assert one == two
    named = re.search(r"in minibatch (\d) of epoch 1: .*in minibatch \1, a cell of batch", one)
    assert named and int(named[1]) > 1  # of nine; the callback looks at the first and the last
