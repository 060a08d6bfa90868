import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.against_cells import Sized, parameters, table
from discern.config.experiment import ExperimentConfig

ROOT = Path(__file__).resolve().parents[2]
SIZES = ["400", "800"]


def run(name, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.fixture(scope="session")
def processed(many_genes_file, tmp_path_factory):
    """The working folder after the benchmark of process, and what it printed."""
    folder = tmp_path_factory.mktemp("series")
    done = run("process", folder, "--real-data", many_genes_file, "--genes", "3000", "--cells", *SIZES)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_parameters_are_the_shipped_ones_with_a_small_network(tmp_path):
    made = parameters(Sized(tmp_path, 400))["experiments"]["cells"]
    shipped = json.loads((ROOT / "parameters.json").read_text(encoding="utf-8"))["experiments"]["default_experiment"]
    config = ExperimentConfig.model_validate(made)
    assert config.model.encoder.layers == config.model.decoder.layers == [32]
    assert config.training.early_stopping is None
    assert made["input_ds"]["filtering"] == shipped["input_ds"]["filtering"]
    assert made["training"]["batch_size"] == shipped["training"]["batch_size"]


def test_process_is_measured_on_every_size(processed):
    folder, printed = processed
    results = json.loads((folder / "process.json").read_text(encoding="utf-8"))
    assert results["command"] == "discern process"
    assert [run["n_cells"] for run in results["runs"]] == [400, 800]
    for measured in results["runs"]:
        assert measured["n_genes"] == 3000
        assert measured["density"] == pytest.approx(0.07, rel=0.1)
        assert measured["peak_bytes"] > 50e6
        written = Sized(folder, measured["n_cells"]).experiment / "processed_data" / "concatenated_data.h5ad"
        assert measured["disk_left_bytes"] >= written.stat().st_size
    lines = printed.strip().splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith("| 800 | 3,000 |")


def test_generated_data_are_used_again(processed):
    folder, _ = processed
    before = Sized(folder, 400).tiled_file.stat().st_mtime_ns
    done = run("process", folder, "--cells", "400", "--out", folder / "again.json")
    assert done.returncode == 0, done.stderr
    assert Sized(folder, 400).tiled_file.stat().st_mtime_ns == before


def test_without_data_and_real_cells_it_says_what_is_missing(tmp_path):
    done = run("process", tmp_path, "--cells", "400")
    assert done.returncode == 1
    assert "--real-data" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failing_command_ends_the_series_and_shows_its_message(processed):
    folder, _ = processed
    done = run("process", folder, "--cells", "400", "--options=--no-such-option", "--out", folder / "failed.json")
    assert done.returncode == 1
    assert "No such option" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "failed.json").exists()


def test_the_table_compares_with_the_first_size():
    measured = {"peak_bytes": 100e6, "largest_process_bytes": 90e6, "disk_peak_bytes": 3e6, "disk_left_bytes": 2e6}
    runs = [
        {"n_cells": 1000, "n_genes": 50, "seconds": 10.0, "cpu_seconds": 15.0, **measured},
        {"n_cells": 4000, "n_genes": 50, "seconds": 30.0, "cpu_seconds": 45.0, **measured, "peak_bytes": 125e6},
    ]
    last = [cell.strip() for cell in table(runs).splitlines()[-1].strip("|").split("|")]
    assert last == ["4,000", "50", "30.0", "133", "45.0", "125", "90", "3", "2", "4.00", "3.00", "1.25"]


def test_curves_are_drawn(processed, tmp_path):
    folder, _ = processed
    picture = tmp_path / "curves.png"
    done = run("curves", picture, folder / "process.json", f"again={folder / 'process.json'}")
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_train_and_project_are_measured(processed):
    folder, _ = processed
    for name in ("train", "project"):
        done = run(name, folder, "--cells", "400")
        assert done.returncode == 0, done.stderr
        (measured,) = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["runs"]
        assert measured["disk_left_bytes"] > 0
    experiment = Sized(folder, 400).experiment
    assert (experiment / "job" / "best_model.hdf5").is_file()
    assert (experiment / "projected" / "unprojected.h5ad").is_file()
