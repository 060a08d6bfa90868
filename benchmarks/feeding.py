"""Does reading records slow training down? Epochs from records against epochs from dense minibatches in memory.

Usage: python benchmarks/feeding.py EXPERIMENT_FOLDER [--rounds 3] [--cells 3840]

The experiment must be processed. Both feeds train the same network in turns; the ratio of their rates is printed.
"""

import argparse
import time
from pathlib import Path

import tensorflow as tf

from discern.io.processed_annotation import read_annotation
from discern.io.record_format import TRAINING
from discern.io.tfdata import RecordSource, training_minibatches
from discern.models.catalog import FAMILIES
from discern.models.contract import DataDescription
from discern.optimizers.build import build_optimizer
from discern.workflows.experiment import experiment_of_folder


def main() -> None:
    """Print cells per second of both feeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cells", type=int, default=3840)
    arguments = parser.parse_args()
    experiment = experiment_of_folder(arguments.experiment)
    config = experiment.config.training
    annotation = read_annotation(experiment.folder.processed_file)
    source = RecordSource(experiment.folder.tfrecords, TRAINING)
    data = DataDescription(annotation.n_genes, tuple(annotation.batches), source.n_cells, annotation.transform)
    family = FAMILIES.get(experiment.config.model.name)(experiment.config.model, data, config.seed)
    optimizer = config.optimizer
    family.compile(
        build_optimizer(optimizer.algorithm, optimizer.learning_rate, optimizer.arguments), jit_compile=config.XLA
    )
    steps = max(1, arguments.cells // config.batch_size)
    records = training_minibatches(source, family.transform(), config.batch_size, config.seed).map(family.model_input)
    held = [minibatch for minibatch in records.take(4)]
    memory = tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda *parts: tf.stack(parts), *held)
    ).repeat()
    feeds = {"records": records, "memory": memory}
    seconds = dict.fromkeys(feeds, 0.0)
    for round_number in range(arguments.rounds + 1):
        for name, feed in feeds.items():
            start = time.perf_counter()
            family.model.fit(feed, steps_per_epoch=steps, epochs=2, verbose=0, shuffle=False)
            if round_number:  # the first compiles
                seconds[name] += time.perf_counter() - start
    cells = arguments.rounds * 2 * steps * config.batch_size
    for name, spent in seconds.items():
        print(f"{name:<8} {cells / spent:8.0f} cells/s")
    print(f"records run at {seconds['memory'] / seconds['records']:.1%} of the rate from memory")


if __name__ == "__main__":
    main()
