"""How near does training come to the speed at which this machine multiplies matrices?

Usage: python benchmarks/training_speed.py [--genes 2000 8000 20000] [--rounds 9] [--minibatches 2]
    [--precision mixed_bfloat16]

Trains the model of parameters.json from records of generated cells (7 % non-zero). Everything is timed in turns, so that
other work on the machine slows all of it alike; medians over the rounds are printed. The shares are

* of the rate: operations of the model's matrix products, at the rate of the fastest of square products of several sizes
  and the model's own;
* of the products: the time of the model's own products, run on their own.

Both are printed in wall time and in processor time; the second hardly depends on other work on the machine.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import anndata
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy import sparse

from discern.config.loading import load_experiments
from discern.io.cell_sources import RecordSource
from discern.io.minibatches import training_minibatches
from discern.io.record_schema import TRAINING, VALIDATION
from discern.io.tfrecord_writer import write_records
from discern.io.transform import InputTransform
from discern.models.contract import DataDescription
from discern.models.wae.config import WAEConfig
from discern.models.wae.family import WAEFamily
from discern.scaling import GeneScaling
from discern.training.config import Precision, TrainingConfig
from discern.training.fit import fit
from discern.training.precision import computing_in
from discern.training.set_up import configured_optimizer

PARAMETERS = Path(__file__).parents[1] / "parameters.json"
LIBRARY_SIZE = 20_000.0
SQUARES = (1024, 2048, 3072)


@dataclass(frozen=True)
class Product:
    """A Dense layer: (n_cells, inputs) · (inputs, units)."""

    inputs: int
    units: int
    input_gradient: bool

    def operations(self, n_cells: int) -> int:
        """Multiplications and additions of one step: forward, weight gradient, input gradient."""
        return 2 * n_cells * self.inputs * self.units * (3 if self.input_gradient else 2)


def products_of(family: WAEFamily) -> list[Product]:
    """Return every Dense layer of the model; layers that read expression or labels need no input gradient."""
    data = {id(tensor) for tensor in [*family.encoder.inputs, family.decoder.inputs[1]]}
    layers = [*family.encoder.layers, *family.decoder.layers]
    return [
        Product(layer.kernel.shape[0], layer.kernel.shape[1], input_gradient=id(layer.input) not in data)
        for layer in layers
        if isinstance(layer, keras.layers.Dense)
    ]


def main() -> None:
    """Print the shares for every number of genes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, nargs="+", default=[2_000, 8_000, 20_000])
    parser.add_argument("--cells", type=int, default=2_400)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--minibatches", type=int, default=2, help="steps of one round")
    parser.add_argument("--epochs", type=int, default=0, help="also train so many epochs and report drift and overhead")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32", help="compared with float32")
    arguments = parser.parse_args()
    experiment = load_experiments(PARAMETERS)[0].config
    for n_genes in arguments.genes:
        with tempfile.TemporaryDirectory() as folder:
            report(n_genes, Path(folder), experiment.model, experiment.training, arguments)
        keras.backend.clear_session()


def report(n_genes: int, folder: Path, model: WAEConfig, training: TrainingConfig, arguments: Any) -> None:
    """Print the figures for one number of genes."""
    transform = generate_records(folder, arguments.cells, n_genes)
    source = RecordSource(folder, TRAINING)
    data = DataDescription(n_genes, ("a", "b"), source.n_cells, transform)
    batch_size = training.batch_size

    def compiled(precision: Precision) -> WAEFamily:
        configured = training.model_copy(update={"precision": precision})
        with computing_in(precision):
            family = WAEFamily(model, data, training.seed)
        family.compile(configured_optimizer(configured), jit_compile=False)
        family.model.optimizer.build(family.model.trainable_variables)
        family.model.make_train_function()
        return family

    family = compiled("float32")
    records = training_minibatches(source, transform, batch_size, training.seed).map(family.model_input)
    first = next(iter(records))
    memory = iter(tf.data.Dataset.from_tensors(first).repeat())
    from_records = iter(records)
    steps = arguments.minibatches
    products = products_of(family)
    runs: dict[str, tuple[Callable[[], Any], int]] = {
        **{f"square {size}": (_square(size), 1) for size in SQUARES},
        "products": (_products_alone(products, batch_size), steps),
        "records": (lambda: _step(family, from_records), steps),
        "memory": (lambda: _step(family, memory), steps),
        "gradients": (_without_optimizer(family, first), steps),
        "forward": (_forward(family, first), steps),
    }
    if arguments.precision != "float32":
        rounded, in_turn = compiled(arguments.precision), iter(records)
        runs[arguments.precision] = (lambda: _step(rounded, in_turn), steps)
    wall, processor = alternating(runs, arguments.rounds)
    operations = sum(one.operations(batch_size) for one in products)
    print(f"{n_genes} genes: {operations / batch_size / 1e6:.1f} MFLOP per cell")
    for name, seconds in (("wall", wall), ("processor", processor)):
        ideal, rate = _at_full_rate(seconds, products, batch_size)
        print(
            f"  {name:<10} {rate / 1e9:6.0f} GFLOP/s {batch_size / statistics.median(seconds['records']):6.0f} cells/s  share "
            f"of the rate {_ratio(ideal, seconds['records']):.1%}, "
            f"of the products {_ratio(seconds['products'], seconds['records']):.1%}"
        )
        parts = ", ".join(f"{key} {statistics.median(seconds[key]) * 1e3:.0f}" for key in runs if "square" not in key)
        print(f"  {'':<10} ms per step: {parts}")
        if arguments.precision in runs:
            rounded_seconds = seconds[arguments.precision]
            print(f"  {'':<10} {arguments.precision}: {_ratio(rounded_seconds, seconds['records']):.2f} of the time, "
                  f"{_ratio(ideal, rounded_seconds):.1%} of the float32 rate")  # fmt: skip
    if arguments.epochs:
        report_epochs(family, source, RecordSource(folder, VALIDATION), training, arguments.epochs)


def generate_records(folder: Path, n_cells: int, n_genes: int) -> InputTransform:
    """Write records of two batches, 7 % of the counts non-zero, and return how they are transformed."""
    rng = np.random.default_rng(0)
    per_cell = rng.poisson(0.07 * n_genes, n_cells).clip(1, n_genes)
    genes = [np.sort(rng.choice(n_genes, size, replace=False)) for size in per_cell]
    values = (1 + rng.negative_binomial(1, 0.4, per_cell.sum())).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(per_cell)])
    counts = sparse.csr_matrix((values, np.concatenate(genes), indptr), shape=(n_cells, n_genes))
    library_size = np.asarray(counts.sum(axis=1)).ravel()
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(np.array(["a", "b"])[rng.integers(0, 2, n_cells)], ["a", "b"]),
            "split": pd.Categorical(np.where(np.arange(n_cells) % 10 == 0, "valid", "train")),
            "n_counts": library_size.astype(np.float32),
        },
        index=[f"cell{number}" for number in range(n_cells)],
    )
    logged = counts.multiply(LIBRARY_SIZE / library_size[:, None]).tocsr().log1p()
    write_records(anndata.AnnData(logged, obs, layers={"counts": counts}), folder)
    mean = np.asarray(logged.mean(axis=0)).ravel()
    square = np.asarray(logged.multiply(logged).mean(axis=0)).ravel()
    std = np.sqrt(np.maximum(square - mean**2, 1e-4))
    return InputTransform(LIBRARY_SIZE, True, GeneScaling(mean.astype(np.float32), std.astype(np.float32)))


def alternating(
    runs: dict[str, tuple[Callable[[], Any], int]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the wall and processor seconds of every run, once per round; the first round compiles and is left out."""
    wall: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(rounds + 1):
        for name, (run, repeats) in runs.items():
            start, of_processor = time.perf_counter(), time.process_time()
            for _ in range(repeats):
                run()
            if round_number:
                wall[name].append((time.perf_counter() - start) / repeats)
                processor[name].append((time.process_time() - of_processor) / repeats)
    return wall, processor


def report_epochs(
    family: WAEFamily, train: RecordSource, valid: RecordSource, training: TrainingConfig, epochs: int
) -> None:
    """Print whether the step slows down over epochs and what share of an epoch is not spent in steps."""
    watch = _EpochWatch()
    fit(family, train, valid, batch_size=training.batch_size, seed=training.seed, epochs=range(epochs),
        callbacks=[watch])  # fmt: skip
    steps = [statistics.median(of_epoch) for of_epoch in watch.steps[1:]]  # the first compiles
    half = len(steps) // 2
    drift = statistics.median(steps[-half:]) / statistics.median(steps[:half])
    validation = statistics.median(watch.validation[1:]) / statistics.median(watch.epochs[1:])
    callbacks = statistics.median(
        (whole - sum(of_steps) - of_validation) / whole
        for whole, of_steps, of_validation in zip(watch.epochs, watch.steps, watch.validation, strict=True)
    )
    print(f"  steps of the later half of {len(steps)} epochs take {drift:.3f} of those of the earlier half")
    print(f"  validation on {valid.n_cells} of {train.n_cells + valid.n_cells} cells takes {validation:.1%} of an epoch, "
          f"callbacks and the rest {callbacks:.1%}")  # fmt: skip


class _EpochWatch(keras.callbacks.Callback):
    """Seconds of steps, validation and whole epochs; a step lasts from the end of the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[list[float]] = []
        self.validation: list[float] = []
        self.epochs: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = self._last = time.perf_counter()
        self.steps.append([])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        self.steps[-1].append(now - self._last)
        self._last = now

    def on_test_begin(self, logs: Any = None) -> None:
        self._test = time.perf_counter()

    def on_test_end(self, logs: Any = None) -> None:
        self.validation.append(time.perf_counter() - self._test)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(time.perf_counter() - self._start)


def _ratio(some: list[float], others: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(some, others, strict=True))


def _step(family: WAEFamily, feed: Iterator[Any]) -> None:
    family.model.train_function(feed)
    family.model.optimizer.iterations.numpy()  # waits for the step


def _at_full_rate(seconds: dict[str, list[float]], products: list[Product], n_cells: int) -> tuple[list[float], float]:
    """Return the seconds of one step at the rate of the fastest products, round by round, and the median rate."""
    fastest = [
        max(2 * size**3 / seconds[f"square {size}"][number] for size in SQUARES)
        for number in range(len(seconds["records"]))
    ]
    # the model's own products take part: some of their shapes run faster than a square
    operations = sum(one.operations(n_cells) for one in products)
    rates = [max(rate, operations / own) for rate, own in zip(fastest, seconds["products"], strict=True)]
    return [operations / rate for rate in rates], statistics.median(rates)


def _square(size: int) -> Callable[[], Any]:
    matrix = tf.random.stateless_normal((size, size), (0, 0))
    multiply = tf.function(lambda: tf.matmul(matrix, matrix))
    return lambda: multiply()[0, 0].numpy()


def _products_alone(products: list[Product], n_cells: int) -> Callable[[], Any]:
    def normal(*shape: int) -> tf.Tensor:
        return tf.random.stateless_normal(shape, (0, 1))

    operands = [
        (normal(n_cells, one.inputs), normal(one.inputs, one.units), normal(n_cells, one.units)) for one in products
    ]

    @tf.function
    def run() -> tf.Tensor:
        corners = []
        for one, (cells, kernel, gradient) in zip(products, operands, strict=True):
            results = [tf.matmul(cells, kernel), tf.matmul(cells, gradient, transpose_a=True)]
            if one.input_gradient:
                results.append(tf.matmul(kernel, gradient, transpose_b=True))
            corners += [result[0, 0] for result in results]
        return tf.add_n(corners)

    return lambda: run().numpy()


def _without_optimizer(family: WAEFamily, minibatch: Any) -> Callable[[], Any]:
    inputs, targets = minibatch
    weights = [variable.value for variable in family.model.trainable_variables]

    @tf.function
    def run() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = family.model.compute_loss(inputs, targets, family.model(inputs, training=True))
        return tf.add_n([tf.reshape(one, [-1])[0] for one in tape.gradient(loss, weights)])

    return lambda: run().numpy()


def _forward(family: WAEFamily, minibatch: Any) -> Callable[[], Any]:
    inputs, targets = minibatch

    @tf.function
    def run() -> tf.Tensor:
        return family.model.compute_loss(inputs, targets, family.model(inputs, training=True))

    return lambda: run().numpy()


if __name__ == "__main__":
    main()
