"""Does reading records slow training down? Epochs from records against epochs from dense minibatches in memory.

Usage: python benchmarks/feeding.py EXPERIMENT_FOLDER [--rounds 25] [--minibatches 5]

The experiment must be processed. Both feeds train the same network in turns; the ratio of their rates is printed.
"""

import argparse
import statistics
import time
from pathlib import Path

import tensorflow as tf

from discern.io.cell_sources import RecordSource
from discern.io.minibatches import training_minibatches
from discern.io.processed_annotation import read_annotation
from discern.io.record_format import TRAINING
from discern.models.catalog import FAMILIES
from discern.models.contract import DataDescription
from discern.optimizers.build import build_optimizer
from discern.workflows.experiment import experiment_of_folder


def main() -> None:
    """Print cells per second of both feeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--minibatches", type=int, default=5)
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
    records = training_minibatches(source, family.transform(), config.batch_size, config.seed).map(family.model_input)
    held = list(records.take(4))
    memory = tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(lambda *parts: tf.stack(parts), *held)).repeat()
    feeds = {"records": iter(records), "memory": iter(memory)}
    family.model.make_train_function()
    seconds: dict[str, list[float]] = {name: [] for name in feeds}
    for round_number in range(arguments.rounds + 1):
        for name, feed in feeds.items():
            start = time.perf_counter()
            for _ in range(arguments.minibatches):
                family.model.train_function(feed)
            if round_number:  # the first compiles
                seconds[name].append(time.perf_counter() - start)
    cells = arguments.minibatches * config.batch_size
    for name, spent in seconds.items():
        print(f"{name:<8} {cells / statistics.median(spent):8.0f} cells/s (median)")
    ratios = [memory / records for memory, records in zip(seconds["memory"], seconds["records"], strict=True)]
    print(f"records run at {statistics.median(ratios):.1%} of the rate from memory (median of {len(ratios)} rounds)")


if __name__ == "__main__":
    main()
