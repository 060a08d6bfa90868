import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import discern as discern_package
from discern.evaluation.table import Evaluation, Method


@pytest.fixture
def evaluated(here):
    """A function that writes the metrics of an experiment."""

    def write(folder, value):
        facts = {"experiment": "run", "target": "good"}
        methods = [Method("reconstructed", "estimate", ""), Method("as measured", "baseline", "")]
        scores = {"reconstructed": {"mmd": value}, "as measured": {"mmd": 0.5}}
        Evaluation(facts, methods, scores, []).write(here / folder / "evaluation")
        return folder

    return write


def test_folders_and_parameters_are_compared_on_one_page(discern, parameters, evaluated, here):
    evaluated("exps/one", 0.125)
    evaluated("exps/two", 0.25)
    evaluated("other/one", 0.375)
    finished = discern("report", parameters(one=None, two=None), "other/one", "--out", "new/page.html")
    assert finished.exit_code == 0
    assert finished.stdout == "Written: new/page.html\n"
    page = (here / "new" / "page.html").read_text(encoding="utf-8")
    assert "3 experiments side by side" in page
    for text in ("exps/one", "exps/two", "other/one", "0.125", "0.250", "0.375"):
        assert f"{text}<" in page or f"{text} <" in page
    assert [path.name for path in (here / "exps").iterdir()] == ["one", "two"]


def test_names_that_differ_are_short_and_the_page_has_a_name(discern, evaluated, here):
    assert discern("report", evaluated("exps/one", 0.1), evaluated("exps/two", 0.2)).exit_code == 0
    page = (here / "comparison.html").read_text(encoding="utf-8")
    assert ">two<" in page
    assert "exps/" not in page


def test_no_tensorflow_is_needed(evaluated, here):
    program = (
        "import sys; from discern.cli.main import cli; cli(['report', 'exps/one'], standalone_mode=False);"
        "sys.exit(bool({'tensorflow', 'keras', 'scanpy', 'matplotlib'} & set(sys.modules)))"
    )
    evaluated("exps/one", 0.1)
    path = os.pathsep.join([str(Path(discern_package.__file__).parents[1]), *filter(None, sys.path)])
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert (here / "comparison.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (("exps/one", "exps/absent"), 2, "exps/absent does not exist"),
        (("exps/one", "empty"), 4, "Not evaluated: empty. Run `discern evaluate` for each first."),
        (("exps/one", "exps/../exps/one"), 4, "exps/one is named twice"),
        (("broken",), 4, "holds no evaluation"),
        ((), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_compared_is_refused(discern, evaluated, here, arguments, exit_code, message):
    evaluated("exps/one", 0.1)
    (here / "empty").mkdir()
    (here / "broken" / "evaluation").mkdir(parents=True)
    (here / "broken" / "evaluation" / "metrics.json").write_text(json.dumps({"measures": 3}))
    finished = discern("report", *arguments)
    assert finished.exit_code == exit_code
    assert message in finished.stderr
    assert not (here / "comparison.html").exists()
