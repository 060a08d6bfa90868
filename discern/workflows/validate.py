"""``validate``: would this experiment run, what would it keep, what would it cost?"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from discern.available_cpus import available_cpus
from discern.config.experiment import ExperimentConfig
from discern.errors import DataError, DiscernError, ParametersError, counted
from discern.io.batch_labels import batch_names, why_nothing_to_decode_into
from discern.io.input_checks import check_rows
from discern.io.merging import JoinedAnnotation, join_annotation
from discern.io.naming import input_names
from discern.io.raw_input import RawInput
from discern.io.reading import naming_the_file, open_raw_input
from discern.io.row_readers import MAX_CELLS
from discern.keys import BATCH
from discern.preprocessing.filtering import choose_cells_and_genes, count_seen
from discern.preprocessing.principal_components import require_enough_for
from discern.preprocessing.recipe import N_COMPONENTS
from discern.preprocessing.row_chunks import row_chunks
from discern.preprocessing.splitting import split_cells
from discern.progress import duration
from discern.workflows.experiment import Experiment
from discern.workflows.process import search_file

_BYTES_OF_A_WORKER = 330e6  # of process, whatever the number of cells: libraries and one piece of the data; measured
_BYTES_PER_CELL = 300  # annotation, which stays in memory
_BYTES_PER_VALUE_ON_DISK = 8
_SIZE_OF_A_PROJECTION = 3.0  # of one dense float32 matrix: three compressed layers, X and the input; measured
_FLOPS_PER_WEIGHT = 6  # multiply and add, forward and twice backward
_SHARE_OF_PRODUCT_RATE = 0.6  # what a training step reaches of the rate of one large matrix product, measured
_SECONDS_PER_MINIBATCH = 0.01  # whatever its width: MMD++ and the start of every operation


@dataclass
class ValidationReport:
    """What was found.

    Attributes:
        lines: Findings, in order.
        faults: What must be mended before `process` can run.
        exit_code: 0 without faults.
    """

    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    exit_code: int = 0

    def fault(self, error: DiscernError) -> None:
        """Add what was wrong."""
        self.faults.append(str(error))
        self.exit_code = self.exit_code or error.exit_code


def validate(experiment: Experiment, *, allow_non_counts: bool = False) -> ValidationReport:
    """Read and check all inputs; nothing is written.

    Args:
        experiment: The experiment.
        allow_non_counts: Accept values that are not whole numbers.
    """
    report = ValidationReport()
    inputs = experiment.input_paths()
    try:
        search_file(experiment)
    except ParametersError as error:
        report.fault(error)
    try:
        if not inputs:
            raise ParametersError(
                "input_ds.raw_input names no file."
                + (
                    " New cells join it with `discern onlinetraining`."
                    if experiment.folder.processed_file.exists()
                    else ""
                )
            )
        names = input_names(list(inputs))
    except DiscernError as error:
        report.fault(error)
        return report
    opened: dict[str, RawInput] = {}
    columns: dict[str, str | None] = {}
    for name, (path, column) in zip(names, inputs.items(), strict=True):
        try:
            raw = open_raw_input(path)
            n_cells, n_genes = raw.rows.shape
            report.lines.append(f"{path}: {counted(n_cells, 'cell')}, {counted(n_genes, 'gene')}, named '{name}'")
            with naming_the_file(path):
                check_rows(raw.rows, name, raw.obs.index, raw.var.index, allow_non_counts)
            opened[name], columns[name] = raw, column
        except DiscernError as error:
            report.fault(error)
    if len(opened) < len(inputs):
        return report
    try:
        _check_kept(experiment.config, list(opened.values()), join_annotation(opened, columns), report)
    except DiscernError as error:
        report.fault(error)
    return report


def _check_kept(
    config: ExperimentConfig, inputs: Sequence[RawInput], joined: JoinedAnnotation, report: ValidationReport
) -> None:
    merged = joined.adata
    report.lines.append(f"genes in common: {merged.n_vars}")
    limits = config.input_ds.filtering
    values = Counter[str]()
    seen = count_seen(_chunks(inputs, joined.columns, values), limits.min_genes, merged.n_vars)
    kept = choose_cells_and_genes(seen, limits.min_genes, limits.min_cells)
    n_cells, n_genes = int(kept.cells.sum()), int(kept.genes.sum())
    report.lines.append(
        f"left after filtering (min_genes {limits.min_genes}, min_cells {limits.min_cells}): "
        f"{n_cells} of {merged.n_obs} cells, {n_genes} of {merged.n_vars} genes"
    )
    codes = merged.obs[BATCH].cat.codes.to_numpy(dtype=np.int64)
    batches = batch_names(merged.obs)
    before, after = (np.bincount(one, minlength=len(batches)) for one in (codes, codes[kept.cells]))
    for name, n_before, n_after in zip(batches, before, after, strict=True):
        report.lines.append(f"batch '{name}': {n_after} of {n_before} cells")
        if n_before and not n_after:
            report.fault(
                DataError(f"No cell of batch '{name}' has {limits.min_genes} genes. Lower filtering.min_genes.")
            )
    if fault := why_nothing_to_decode_into(batches):
        report.lines.append(f"warning: {fault}")
    if (after[before > 0] == 0).any():
        return
    try:
        require_enough_for(N_COMPONENTS, n_cells, n_genes)
    except DataError as error:
        report.fault(error)
    split = config.input_ds.split
    split_cells(np.random.RandomState(split.split_seed), codes[kept.cells], batches, split)
    report.lines += _costs(config, values.total(), n_cells, n_genes)


def _chunks(
    inputs: Sequence[RawInput], columns: Sequence[np.ndarray], values: Counter[str]
) -> Iterator[sparse.csr_matrix]:
    """Yield the common genes of all cells, (any, n_genes), and count the values."""
    for raw, chosen in zip(inputs, columns, strict=True):
        for start, stop in raw.rows.blocks():
            counts = raw.rows.rows(start, stop)[:, chosen]
            values["stored"] += counts.nnz
            yield from row_chunks(counts)


def _costs(config: ExperimentConfig, n_values: int, n_cells: int, n_genes: int) -> list[str]:
    weights = config.model.n_weights(n_genes)
    per_minibatch = _SECONDS_PER_MINIBATCH * n_cells / config.training.batch_size
    epoch = n_cells * weights * _FLOPS_PER_WEIGHT / (_SHARE_OF_PRODUCT_RATE * _matrix_product_rate()) + per_minibatch
    dense = n_cells * n_genes * 4
    epochs = config.training.max_steps
    return [
        f"memory: process about {_bytes(_memory_of_process(config, n_cells))}, "
        f"train about {_bytes(1e9 + weights * 4 * 6 + config.training.batch_size * n_genes * 4 * 20)}",
        f"disk: about {_bytes(n_values * _BYTES_PER_VALUE_ON_DISK)} processed, {_bytes(weights * 16)} model, "
        f"{_bytes(_SIZE_OF_A_PROJECTION * dense)} per projection",
        f"time: about {duration(max(epoch, 1))} per epoch on this CPU, {duration(epoch * epochs)} for {counted(epochs, 'epoch')}",
    ]


def _memory_of_process(config: ExperimentConfig, n_cells: int) -> float:
    n_cpus = config.input_ds.n_cpus_preprocessing or available_cpus()
    return (
        _BYTES_OF_A_WORKER * (1 + (n_cpus if n_cpus > 1 and n_cells > 4 * MAX_CELLS else 0)) + n_cells * _BYTES_PER_CELL
    )


def _bytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{max(number / 1e6, 1):.0f} MB"


def _matrix_product_rate(size: int = 1024) -> float:
    """Return float32 operations per second of one matrix product on this machine."""
    matrix = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    matrix @ matrix
    start = time.perf_counter()
    for _ in range(4):
        matrix @ matrix
    return 4 * 2 * size**3 / (time.perf_counter() - start)
