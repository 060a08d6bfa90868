import io
import json
import os
import subprocess
import sys

import anndata
import numpy as np
import pytest


class Terminal(io.StringIO):
    def isatty(self):
        return True


WRITTEN = ("parameters.json", "processed_data", "provenance.json")


def test_a_run_tells_its_steps_and_keeps_a_log(discern, parameters, here):
    finished = discern("process", parameters())
    assert finished.exit_code == 0
    assert finished.stdout == ""
    assert "After merging: 80 cells, 60 genes" in finished.stderr
    assert "run: 80 cells, 59 genes, 2 batches written" in finished.stderr
    assert "INFO MainProcess discern.workflows.process: run: 80 cells" in (here / "exps" / "discern.log").read_text()
    folder = here / "exps" / "run"
    assert json.loads((folder / "parameters.json").read_text())["input_ds"]["raw_input"] == ["cells.h5ad"]
    assert {path.name for path in folder.iterdir()} == {*WRITTEN, "TF_records"}


def test_quiet_says_nothing_when_all_is_well(discern, parameters, here):
    finished = discern("-q", "process", parameters(), "--without_tfrecords", "--copy_original")
    assert (finished.exit_code, finished.stdout, finished.stderr) == (0, "", "")
    folder = here / "exps" / "run"
    assert {path.name for path in folder.iterdir()} == {*WRITTEN, "original_data"}
    assert (folder / "original_data" / "cells.h5ad").read_bytes() == (here / "cells.h5ad").read_bytes()
    assert "After merging" in (here / "exps" / "discern.log").read_text()  # the log has it all


@pytest.fixture
def processed(discern, parameters, here):
    """A processed experiment and the file that describes it."""
    name = parameters()
    assert discern("process", name, "-q").exit_code == 0
    return name


def test_processed_data_are_never_replaced_without_being_asked(discern, processed, here, files_of):
    before = files_of(here / "exps" / "run")
    finished = discern("process", processed)
    assert finished.exit_code == 4
    assert finished.stderr == "Error: Processed data exist: exps/run/processed_data. Give --force to replace them.\n"
    assert files_of(here / "exps" / "run") == before


def test_force_replaces_them(discern, processed, here, counts):
    counts(n_cells=70, seed=1).write_h5ad(here / "cells.h5ad")
    assert discern("process", processed, "--force", "-q").exit_code == 0
    assert anndata.read_h5ad(here / "exps" / "run" / "processed_data" / "concatenated_data.h5ad").n_obs == 70


@pytest.mark.parametrize(("answer", "exit_code"), [("y", 0), ("n", 1)])
def test_in_a_terminal_the_user_is_asked(discern, processed, here, monkeypatch, files_of, answer, exit_code):
    before = files_of(here / "exps" / "run")
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    finished = discern("process", processed, "--without_tfrecords")
    assert finished.exit_code == exit_code
    assert "Replace the processed data of exps/run/processed_data? [y/N]" in finished.stdout + finished.stderr
    assert (files_of(here / "exps" / "run") == before) is (answer == "n")
    assert (here / "exps" / "run" / "TF_records").exists() is (answer == "n")


def test_a_failed_replacement_leaves_the_earlier_data(discern, processed, here, files_of):
    before = files_of(here / "exps" / "run")
    (here / "cells.h5ad").write_bytes(b"damaged")
    finished = discern("process", processed, "--force", "-q")
    assert finished.exit_code == 3
    assert "Cannot read cells.h5ad" in finished.stderr
    assert files_of(here / "exps" / "run") == before


def test_data_changed_below_a_trained_model_are_a_warning(discern, processed, here):
    (here / "exps" / "run" / "job").mkdir()
    (here / "exps" / "run" / "job" / "last_state.hdf5").touch()
    finished = discern("process", processed, "--force", "-q")
    assert "exps/run/job was trained on the earlier data" in finished.stderr


def test_debug_looks_at_the_first_experiment_only(discern, parameters, here):
    name = parameters(first=None, second=None)
    assert discern("process", name, "--debug", "-q").exit_code == 0
    assert (here / "exps" / "first" / "processed_data").exists()
    assert not (here / "exps" / "second").exists()


def test_failures_are_in_the_log_with_their_traceback(discern, parameters, here):
    def absent(experiment):
        experiment["input_ds"]["raw_input"] = ["cell.h5ad"]

    finished = discern("process", parameters(run=absent))
    assert finished.exit_code == 3
    assert finished.stderr == "Error: cell.h5ad does not exist. Similar names there: cells.h5ad. Correct the path.\n"
    log = (here / "exps" / "discern.log").read_text()
    assert "Traceback" in log
    assert "DataError: cell.h5ad does not exist" in log


def test_a_missing_search_file_is_told_before_any_work(discern, parameters, here):
    def search(experiment):
        experiment["hyperparameter_search"] = "search.json"

    finished = discern("process", parameters(run=search))
    assert finished.exit_code == 2
    assert finished.stderr == "Error: experiments.run.hyperparameter_search: search.json does not exist.\n"
    (here / "search.json").write_text('{"search_space": {}}')
    assert discern("process", parameters(run=search), "-q").exit_code == 0
    assert (here / "exps" / "run" / "hyperparameter_search.json").read_text() == '{"search_space": {}}'


def test_fractions_can_be_allowed(discern, parameters, here, counts):
    adata = counts()
    adata.X.data = adata.X.data + np.float32(0.25)
    adata.write_h5ad(here / "cells.h5ad")
    assert discern("process", parameters(), "-q").exit_code == 3
    finished = discern("process", parameters(), "--allow_non_counts", "-q")
    assert finished.exit_code == 0
    assert "are not whole numbers" in finished.stderr


def imported_by(*arguments) -> tuple[int, str, str]:
    """Run the command in a fresh interpreter; return its exit code, the heavy packages it imported, and its messages."""
    script = (
        "import atexit, sys\n"
        "heavy = ('tensorflow', 'keras', 'scanpy', 'ray')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        f"sys.argv = ['discern', *{arguments!r}, '-q']\n"
        "from discern.cli.main import main; main()"
    )
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    variables.pop("TF_CPP_MIN_LOG_LEVEL", None)  # which would hide what is not held back
    finished = subprocess.run(
        [sys.executable, "-c", script], env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    return finished.returncode, finished.stdout, finished.stderr


def test_processing_imports_neither_tensorflow_nor_scanpy(parameters, here):
    """They take 700 MB and seconds that preprocessing does not need."""
    assert imported_by("process", parameters()) == (0, "[]\n", "")
    assert (here / "exps" / "run" / "TF_records").is_dir()


@pytest.mark.usefixtures("here")
def test_nor_does_undoing_online_training(parameters):
    code, heavy, messages = imported_by("onlinetraining", parameters(), "--undo")
    assert (code, heavy) == (4, "[]\n")
    assert "There is no online training to undo" in messages


@pytest.mark.usefixtures("here")
def test_evaluating_holds_back_what_tensorflow_prints():
    code, _, messages = imported_by("evaluate", "absent.json")
    assert (code, messages) == (2, "Error: absent.json does not exist.\n")


def test_a_seed_given_here_drives_the_split_and_is_recorded(discern, parameters, here):
    splits = {}
    for seed in (3, 3, 4):
        assert discern("process", parameters(), "--seed", seed, "--force", "-q").exit_code == 0
        folder = here / "exps" / "run"
        content = json.loads((folder / "parameters.json").read_text())
        assert (content["training"]["seed"], content["input_ds"]["split"]["split_seed"]) == (seed, seed)
        step = json.loads((folder / "provenance.json").read_text())["steps"][-1]
        assert step["seeds"] == {"input_ds.split.split_seed": seed}
        assert step["command"].endswith(f"--seed {seed} --force -q")
        split = anndata.read_h5ad(folder / "processed_data" / "concatenated_data.h5ad").obs["split"]
        splits.setdefault(seed, []).append(list(split))
    assert splits[3][0] == splits[3][1] != splits[4][0]


@pytest.mark.parametrize("seed", ["-1", 2**31, "1.5", "x"])
def test_a_seed_is_a_whole_number(discern, parameters, seed):
    finished = discern("process", parameters(), "--seed", seed)
    assert finished.exit_code == 2
    assert "--seed" in finished.stderr
