"""What do sparse records gain over the published dense ones, and does the memory of reading stay put as cells grow?

Usage: python -m benchmarks.reading [--experiment FOLDER] [--cells 3000] [--genes 15000] [--rounds 5]
       python -m benchmarks.reading --memory [--sizes 50000 200000 800000]

The published format holds one dense cell per record: scaled float32 expression, one-hot batch and a closing 1.0, all
records in one GZIP stream. Both formats are written from the same cells and read in turns to dense minibatches, in one
process; then each alone in a process of its own, for its memory. Cells are tiled from the counts of a processed
experiment, perturbed and thinned to 7 % non-zero entries, or drawn at random when there is none.

With --memory, records of few genes and more and more cells are read for some hundred minibatches each, with a budget
that none of them fits into, each in a process of its own.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.generated_records import LIBRARY_SIZE, N_BATCHES, Cells, real_counts, write_dense, write_sparse
from discern.io.cell_sources import RecordSource
from discern.io.minibatches import training_minibatches
from discern.io.published_cells import parse_tfrecords
from discern.io.record_schema import TRAINING, RecordSchema
from discern.io.transform import InputTransform
from discern.scaling import GeneScaling

BATCH_SIZE = 192
FEW_GENES = 200
MINIBATCHES_FOR_MEMORY = 500
NOTHING_HELD = 1  # a budget that no data set fits into
MB = 1e6
FORMATS = ("sparse", "dense")


def main() -> None:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", type=Path, help="a processed experiment; its genes are tiled to --genes")
    parser.add_argument("--cells", type=int, default=3000)
    parser.add_argument("--genes", type=int, default=15_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="measure memory against the number of cells instead")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 200_000, 800_000])
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        name, folder, n_minibatches = arguments.alone
        read_alone(name, Path(folder), int(n_minibatches))
    elif arguments.memory:
        compare_sizes(arguments.sizes)
    else:
        counts = None if arguments.experiment is None else real_counts(arguments.experiment)
        compare_formats(Cells(arguments.cells, arguments.genes, counts), arguments.rounds)


def open_minibatches(name: str, folder: Path, transform: InputTransform) -> tf.data.Dataset:
    """Return minibatches without end from sparse or dense records.

    Sparse ones are read as those of a data set beyond the memory budget: none is held between epochs. Dense ones are
    read as the published program did: one stream, parsed cell by cell, batched, prefetched; its shuffling is left out,
    in their favour.
    """
    if name == "dense":
        cells = parse_tfrecords(
            folder / "dense.tfrecords", RecordSchema.read(folder / "sparse").n_genes, N_BATCHES
        ).repeat()
        return cells.batch(BATCH_SIZE, drop_remainder=True).prefetch(2)
    source = RecordSource(folder / "sparse", TRAINING, memory_budget=NOTHING_HELD)
    return training_minibatches(source, transform, BATCH_SIZE, seed=0)


def compare_formats(cells: Cells, rounds: int) -> None:
    """Print bytes, rates, processor time and memory of both formats, and their ratios."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scaling = cells.scaling()
        np.savez(folder / "scaling.npz", mean=scaling.mean, std=scaling.std)
        sizes = {"sparse": write_sparse(cells, folder / "sparse")}
        sizes["dense"] = write_dense(cells, scaling, folder / "dense.tfrecords")
        transform = InputTransform(LIBRARY_SIZE, log=True, scaling=scaling)
        n_minibatches = cells.n_cells // BATCH_SIZE
        feeds = {name: iter(open_minibatches(name, folder, transform)) for name in FORMATS}
        wall: dict[str, list[float]] = {name: [] for name in FORMATS}
        cpu: dict[str, list[float]] = {name: [] for name in FORMATS}
        for round_number in range(rounds + 1):
            for name, feed in feeds.items():
                seconds, busy = taken(feed, n_minibatches)
                if round_number:  # the first compiles
                    wall[name].append(seconds)
                    cpu[name].append(busy)
        memory = {name: alone(name, folder, n_minibatches) for name in FORMATS}
    read = n_minibatches * BATCH_SIZE
    print(f"{cells.n_cells} cells x {cells.n_genes} genes, {rounds} rounds of {read} cells in turns, medians")
    print("records   cells/s   CPU µs/cell   bytes/cell   peak MB (start MB)")
    for name in FORMATS:
        rate, busy = read / statistics.median(wall[name]), statistics.median(cpu[name]) / read * 1e6
        start, peak = memory[name]
        print(
            f"{name:<8}{rate:9.0f}{busy:14.1f}{sizes[name] / cells.n_cells:13.0f}{peak / MB:10.0f} ({start / MB:.0f})"
        )
    print(f"sparse records are read {ratio(wall):.1f} times as fast, for {1 / ratio(cpu):.1%} of the processor time")
    print(f"and take {sizes['sparse'] / sizes['dense']:.1%} of the room")


def taken(feed: Iterator[Any], n_minibatches: int) -> tuple[float, float]:
    """Return seconds by the clock and of all processors."""
    start, busy = time.perf_counter(), time.process_time()
    for _ in range(n_minibatches):
        next(feed)
    return time.perf_counter() - start, time.process_time() - busy


def ratio(times: dict[str, list[float]]) -> float:
    """Return how many times as long the dense records took, the median of all rounds."""
    return statistics.median(dense / own for own, dense in zip(times["sparse"], times["dense"], strict=True))


def alone(name: str, folder: Path, n_minibatches: int) -> tuple[int, int]:
    """Return resident bytes before reading and the peak, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.reading", "--alone", name, str(folder), str(n_minibatches)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return int(printed[-2]), int(printed[-1])


def read_alone(name: str, folder: Path, n_minibatches: int) -> None:
    """Read and print resident bytes before and the peak."""
    transform = InputTransform()
    if (folder / "scaling.npz").exists():
        with np.load(folder / "scaling.npz") as arrays:
            transform = InputTransform(LIBRARY_SIZE, log=True, scaling=GeneScaling(arrays["mean"], arrays["std"]))
    tf.reduce_sum(tf.zeros(1))  # TensorFlow starts
    start = peak_bytes()
    taken(iter(open_minibatches(name, folder, transform)), n_minibatches)
    print(start, peak_bytes())


def peak_bytes() -> int:
    """Return the most memory this process ever held; Linux only, as getrusage tells that of the parent if higher."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def compare_sizes(sizes: list[int]) -> None:
    """Print peak memory of a few hundred minibatches for data sets of several sizes, and their ratio."""
    peaks = []
    print("   cells   start MB   peak MB")
    for n_cells in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            write_sparse(Cells(n_cells, FEW_GENES), Path(temporary) / "sparse")
            start, peak = alone("sparse", Path(temporary), MINIBATCHES_FOR_MEMORY)
        peaks.append(peak)
        print(f"{n_cells:8}{start / MB:11.0f}{peak / MB:10.0f}", flush=True)
    print(f"the highest peak is {max(peaks) / min(peaks):.3f} times the lowest")


if __name__ == "__main__":
    main()
