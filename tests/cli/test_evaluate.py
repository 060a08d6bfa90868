from pathlib import Path

import pytest

from discern.evaluation.other_estimates import OtherEstimate
from discern.evaluation.table import Evaluation, Method

EVALUATION = Evaluation(
    {"experiment": "run", "target": "good [best]"},
    [Method("reconstructed", "estimate", ""), Method("as measured", "baseline", ""), Method("half", "ceiling", "")],
    {
        "reconstructed": {"mmd": 0.25, "classifier_auc": 0.75},
        "as measured": {"mmd": 0.5, "classifier_auc": 0.3},
        "half": {"mmd": 0.0},
    },
    ["rows by type are left out"],
)


@pytest.fixture
def given(monkeypatch):
    """What the workflow was called with; it writes a small table."""
    arguments = {}

    def evaluate(experiment, **keywords):
        arguments.update(keywords, seed=experiment.config.training.seed)
        return EVALUATION.write(experiment.folder.evaluation)

    monkeypatch.setattr("discern.workflows.readiness.why_not", lambda *_: None)
    monkeypatch.setattr("discern.workflows.evaluate.evaluate", evaluate)
    return arguments


def test_the_table_is_printed_with_the_best_marked(discern, parameters, given):
    finished = discern("evaluate", parameters())
    assert finished.exit_code == 0
    lines = {line.split()[0]: line.split()[1:] for line in finished.stdout.splitlines() if line.strip()}
    assert lines["mmd"] == ["lower", "0.250*", "0.500", "0.000"]
    assert lines["classifier_auc"] == ["near", "0.5", "0.750", "0.300*"]
    assert "run, decoded into good [best]" in finished.stdout
    assert "Note: rows by type are left out" in finished.stdout
    assert str(Path("exps/run/evaluation/metrics.csv")) in finished.stdout.splitlines()[-1]


def test_the_report_is_written_unless_it_is_not_wanted(discern, parameters, given):
    assert discern("evaluate", parameters()).exit_code == 0
    assert given["report"] is True


def test_options_reach_the_workflow(discern, parameters, given):
    arguments = ("--target", "good", "--labels", "kind", "--thin", "0.2", "--compare", "a=x.h5ad", "--compare", "b=y")
    assert discern("evaluate", parameters(), *arguments, "--cells", 500, "--seed", 3, "--no-report").exit_code == 0
    assert given == {
        "target": "good",
        "labels": "kind",
        "thin": 0.2,
        "compare": [OtherEstimate("a", Path("x.h5ad")), OtherEstimate("b", Path("y"))],
        "n_cells": 500,
        "report": False,
        "seed": 3,
    }


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (("--thin", "1"), 2, "Invalid value for '--thin'"),
        (("--cells", "3"), 2, "Invalid value for '--cells'"),
        (("--compare", "x.h5ad"), 3, "is NAME=H5AD, received 'x.h5ad'"),
    ],
)
def test_wrong_options_are_refused(discern, parameters, given, arguments, exit_code, message):
    finished = discern("evaluate", parameters(), *arguments)
    assert finished.exit_code == exit_code
    assert message in finished.stderr
    assert given == {}


def test_an_untrained_experiment_says_what_to_run(discern, parameters):
    finished = discern("evaluate", parameters())
    assert finished.exit_code == 4
    assert "has no trained model" in finished.stderr
