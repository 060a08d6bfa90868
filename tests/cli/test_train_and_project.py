"""What ``train`` and ``project`` say when there is nothing to work on; real training is in end_to_end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "concatenated_data.h5ad does not exist. Run `discern process` first."),
        (["project"], "Cannot project: exps/run has no trained model. Run `discern process parameters.json` first."),
    ],
)
def test_out_of_order(discern, parameters, arguments, message):
    finished = discern(*arguments, parameters())
    assert finished.exit_code == 4
    assert finished.stderr.startswith("Error: ")
    assert message in finished.stderr


def test_a_processed_experiment_asks_for_training(discern, parameters):
    name = parameters()
    assert discern("process", name, "-q").exit_code == 0
    finished = discern("project", name)
    assert finished.exit_code == 4
    assert "Run `discern train parameters.json` first." in finished.stderr


def test_refusals_wait_for_no_tensorflow(parameters, here):
    """In a fresh interpreter: importing it takes seconds."""
    name = parameters()
    program = f"""
import sys
from discern.cli.main import main
for arguments in (["train"], ["project"], ["evaluate"], ["onlinetraining", "--filename=new.h5ad"]):
    sys.argv = ["discern", *arguments, {name!r}]
    try:
        main()
    except SystemExit as end:
        print(arguments[0], end.code)
print("tensorflow" in sys.modules, "keras" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout.splitlines() == [
        *("train 4", "project 4", "evaluate 4", "onlinetraining 4"),
        "False False",
    ]
    assert "Cannot evaluate: exps/run has no trained model. Run `discern process" in answer.stderr
    assert "Cannot train online: exps/run has no trained model." in answer.stderr


def test_a_file_that_is_not_there_is_named_at_once(discern, parameters, monkeypatch):
    monkeypatch.setattr("discern.cli.session.import_tensorflow", lambda verbosity: pytest.fail("it was imported"))
    name = parameters()
    assert discern("process", name, "-q").exit_code == 0
    model = Path("exps/run/job/best_model.hdf5")
    model.parent.mkdir()
    model.write_bytes(b"")
    for verb in ("project", "onlinetraining"):
        finished = discern(verb, name, "--filename", "cell.h5ad")
        assert finished.exit_code == 3
        assert "cell.h5ad does not exist. Similar names there: cells.h5ad." in finished.stderr
    steps = json.loads(Path("exps/run/provenance.json").read_text())["steps"]
    assert [(step["step"], step["outcome"]) for step in steps[1:]] == [
        ("project", "failed"),
        ("onlinetraining", "failed"),
    ]


def test_restart_reaches_the_training(discern, parameters, monkeypatch):
    seen = []
    monkeypatch.setattr("discern.workflows.readiness.why_not", lambda *_: None)
    monkeypatch.setattr("discern.workflows.train.train", lambda experiment, **given: seen.append(given["restart"]))
    name = parameters()
    discern("train", name)
    discern("train", name, "--restart")
    assert seen == [False, True]


@pytest.mark.parametrize("verb", ["process", "train", "project"])
def test_a_second_command_on_one_experiment_is_refused(discern, parameters, here, verb):
    from discern.io.experiment_folder import ExperimentFolder
    from discern.io.experiment_lock import experiment_lock

    name = parameters()
    assert discern("process", name, "-q").exit_code == 0
    options = {"process": ["--force"]}.get(verb, [])
    with experiment_lock(ExperimentFolder(here / "exps" / "run"), "train"):
        finished = discern(verb, name, *options)
    assert finished.exit_code == 4
    assert "`discern train` (process " in finished.stderr
    assert "is working on exps/run. Wait until it has ended" in finished.stderr
    assert not (here / "exps" / "run" / "job").exists()


@pytest.mark.parametrize("target", ["batch", ":good", ""])
def test_targets_that_are_none(discern, parameters, target):
    finished = discern("project", parameters(), "--metadata", target)
    assert finished.exit_code == 3
    assert "A projection target is COLUMN:VALUE" in finished.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "counts"], "'counts' is no layer of projected cells"),
        (["--genes", "absent.txt"], "absent.txt cannot be read as a list of genes"),
        (["--latent-only", "--all-batches"], "leave out --metadata and --all-batches"),
        (["--latent_only", "--metadata", "batch:good"], "leave out --metadata and --all-batches"),
    ],
)
def test_contents_that_are_none(discern, parameters, options, message):
    finished = discern("project", parameters(), *options)
    assert finished.exit_code == 3
    assert message in finished.stderr


def test_options_reach_the_projection(discern, parameters, here, monkeypatch):
    from discern.projection.content import ProjectedContent

    seen = []
    monkeypatch.setattr("discern.workflows.readiness.why_not", lambda *_: None)
    monkeypatch.setattr("discern.workflows.project.project", lambda experiment, **given: seen.append(given["content"]))
    (here / "genes.txt").write_text("GENE1\nGENE0\n")
    name = parameters()
    discern("project", name)
    discern("project", name, "--layers", "none", "--genes", "genes.txt", "--dtype", "float16", "--no-raw")
    discern("project", name, "--latent-only")
    assert seen == [
        ProjectedContent(),
        ProjectedContent((), ("GENE1", "GENE0"), "float16", raw=False),
        ProjectedContent(latent_only=True),
    ]


def test_the_help_names_what_the_program_knows(discern):
    from discern.projection.content import DTYPES, LAYERS, NO_LAYERS

    text = discern("project", "--help").stdout
    assert all(name in text for name in (*LAYERS, NO_LAYERS, *DTYPES, "latent.h5ad"))


@pytest.mark.parametrize(("given", "seeds"), [((), [3]), (("--seed", "7"), [7])])
def test_a_seed_given_here_reaches_the_training(discern, parameters, monkeypatch, given, seeds):
    seen = []
    monkeypatch.setattr("discern.workflows.readiness.why_not", lambda *_: None)
    monkeypatch.setattr(
        "discern.workflows.train.train", lambda experiment, **_: seen.append(experiment.config.training.seed)
    )
    name = parameters(run=lambda content: content["training"].update(seed=3))
    assert discern("train", name, *given, "-q").exit_code == 0
    assert seen == seeds
