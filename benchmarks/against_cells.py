"""One command on data of growing size: the experiments of each size, the series of measurements, table and JSON."""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py

from benchmarks.measuring import CommandFailedError, machine, measure
from discern import __version__

SHIPPED_PARAMETERS = Path(__file__).resolve().parents[1] / "parameters.json"
EXPERIMENT = "cells"
CELLS = [50_000, 200_000, 800_000]
SMALL_NETWORK = {"layers": [32], "norm_type": ["conditionallayernorm"], "latent_dim": 8}
MB = 1e6


@dataclass(frozen=True)
class Sized:
    """Data of one size and their experiment.

    Attributes:
        folder: The working folder of all sizes.
        n_cells: Number of cells.
    """

    folder: Path
    n_cells: int

    @property
    def tiled_file(self) -> Path:
        """The raw counts."""
        return self.folder / f"tiled_{self.n_cells}.h5ad"

    @property
    def experiments(self) -> Path:
        """Where parameters.json and the experiment are."""
        return self.folder / f"cells_{self.n_cells}"

    @property
    def experiment(self) -> Path:
        """The experiment folder."""
        return self.experiments / EXPERIMENT

    @property
    def parameters(self) -> Path:
        """The parameters of the experiment."""
        return self.experiments / "parameters.json"


def read_arguments(description: str | None, options: str = "") -> argparse.Namespace:
    """Return the command line of a series.

    Args:
        description: Docstring of the benchmark.
        options: Default of what ``discern`` gets beside its parameters.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="working folder; generated data found there are used again")
    parser.add_argument("--cells", type=int, nargs="+", default=CELLS)
    parser.add_argument("--genes", type=int, default=15_000, help="genes of generated data")
    parser.add_argument("--real-data", type=Path, help="real cells to make data from, e.g. a 10x .h5 file")
    parser.add_argument("--options", default=options, help=f"further options of the command (default: '{options}')")
    parser.add_argument("--out", type=Path, help="JSON of the results (default: <folder>/<command>.json)")
    return parser.parse_args()


def measure_series(verb: str, arguments: argparse.Namespace, prepare: Callable[[Sized], None]) -> None:
    """Measure ``discern <verb>`` on all sizes, print a table and write the results after every size.

    Args:
        verb: A command of ``discern``.
        arguments: From :func:`read_arguments`.
        prepare: Brings an experiment to where the command starts; not measured.

    Raises:
        SystemExit: A command failed.
    """
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    out = arguments.out or folder / f"{verb}.json"
    options = shlex.split(arguments.options)
    results: dict[str, Any] = {
        "command": " ".join(["discern", verb, *options]),
        "discern": __version__,
        "machine": machine(),
        "runs": [],
    }
    try:
        for n_cells in sorted(arguments.cells):
            sized = Sized(folder, n_cells)
            provide_experiment(sized, arguments.real_data, arguments.genes)
            prepare(sized)
            command = discern_command(verb, sized, options)
            measured = measure(command, sized.experiments, folder / f"{verb}_{n_cells}.log")
            results["runs"].append({**describe(sized.tiled_file), **asdict(measured)})
            out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
            print(f"{n_cells} cells: {measured.seconds:.0f} s, {measured.peak_bytes / MB:.0f} MB", file=sys.stderr)
    except (CommandFailedError, subprocess.CalledProcessError) as error:
        raise SystemExit(str(error)) from error
    print(table(results["runs"]))


def provide_experiment(sized: Sized, real_data: Path | None, n_genes: int) -> None:
    """Generate raw counts unless they are there, and write the parameters.

    Raises:
        SystemExit: Data must be generated and no real cells are given.
    """
    if not sized.tiled_file.exists():
        if real_data is None:
            raise SystemExit(f"{sized.tiled_file} must be generated first: give real cells with --real-data FILE.")
        command = [sys.executable, "-m", "benchmarks.tiled_cells", str(real_data), str(sized.tiled_file)]
        subprocess.run([*command, "--cells", str(sized.n_cells), "--genes", str(n_genes)], check=True)
    sized.experiments.mkdir(exist_ok=True)
    sized.parameters.write_text(json.dumps(parameters(sized), indent=4) + "\n", encoding="utf-8")


def parameters(sized: Sized) -> dict[str, Any]:
    """Return the shipped parameters with the generated data, a small network and one epoch without early stopping."""
    shipped = json.loads(SHIPPED_PARAMETERS.read_text(encoding="utf-8"))
    experiment = shipped["experiments"]["default_experiment"]
    experiment["input_ds"]["raw_input"] = [str(sized.tiled_file)]
    for side in ("encoder", "decoder"):
        experiment["model"][side]["layers"] = SMALL_NETWORK["layers"]
    experiment["model"] |= {name: SMALL_NETWORK[name] for name in ("norm_type", "latent_dim")}
    experiment["training"] |= {"max_steps": 1, "early_stopping": None}
    return {"exp_param": {"experiments_dir": str(sized.experiments)}, "experiments": {EXPERIMENT: experiment}}


def discern_command(verb: str, sized: Sized, options: Sequence[str] = ()) -> list[str]:
    """Return the command line of ``discern``."""
    return [sys.executable, "-m", "discern", verb, str(sized.parameters), *options]


def start_afresh(sized: Sized) -> None:
    """Remove the experiment."""
    shutil.rmtree(sized.experiment, ignore_errors=True)


def processed_only(sized: Sized) -> None:
    """Process the experiment unless that was done, and remove its model."""
    if not any(sized.experiment.glob("processed_data/*.h5ad")):
        subprocess.run(discern_command("process", sized), check=True)
    shutil.rmtree(sized.experiment / "job", ignore_errors=True)


def trained_only(sized: Sized) -> None:
    """Train the experiment unless that was done, and remove its projections."""
    if not (sized.experiment / "job" / "best_model.hdf5").exists():
        processed_only(sized)
        subprocess.run(discern_command("train", sized), check=True)
    shutil.rmtree(sized.experiment / "projected", ignore_errors=True)


def describe(tiled_file: Path) -> dict[str, float]:
    """Return numbers of cells and genes of raw counts and the share of entries that are not zero."""
    with h5py.File(tiled_file) as file:
        n_cells, n_genes = map(int, file["X"].attrs["shape"])
        return {"n_cells": n_cells, "n_genes": n_genes, "density": file["X/data"].shape[0] / (n_cells * n_genes)}


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Return the results as a Markdown table; the last columns compare with the first row."""
    titles = ["cells", "genes", "seconds", "cells/s", "CPU seconds", "peak MB", "largest process MB"]
    titles += ["disk peak MB", "disk left MB", "cells ×", "seconds ×", "peak ×"]
    lines = [titles, ["---:"] * len(titles)]
    for run in runs:
        sizes = ["peak_bytes", "largest_process_bytes", "disk_peak_bytes", "disk_left_bytes"]
        lines.append(
            [
                f"{run['n_cells']:,}",
                f"{run['n_genes']:,}",
                f"{run['seconds']:.1f}",
                f"{run['n_cells'] / run['seconds']:,.0f}",
                f"{run['cpu_seconds']:.1f}",
                *(f"{run[name] / MB:,.0f}" for name in sizes),
                *(f"{run[name] / runs[0][name]:.2f}" for name in ("n_cells", "seconds", "peak_bytes")),
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
