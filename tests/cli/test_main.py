import os
import subprocess
import sys
import time

import pytest

from discern.cli.main import cli, main
from discern.errors import DiscernError

HEAVY = ("tensorflow", "keras", "scanpy", "ray", "anndata", "pandas", "numpy", "sklearn")
LIGHT = ("discern", "discern.cli.main", "discern.config", "discern.errors", "discern.keys", "discern.registry")
VERBS = (
    "process",
    "train",
    "project",
    "evaluate",
    "onlinetraining",
    "export",
    "import",
    "validate",
    "schema",
    "demo",
    "doctor",
)


def python(*arguments, **variables):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
        check=False,
    )


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_no_heavy_library(module):
    found = python("-c", f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])")
    assert (found.stdout.strip(), found.stderr) == ("[]", "")


def test_help_answers_in_half_a_second():
    seconds = []
    for _ in range(5):  # the machine may be busy: one answer in time is enough
        start = time.perf_counter()
        answer = python("-m", "discern", "--help")
        seconds.append(time.perf_counter() - start)
        assert answer.returncode == 0
        if seconds[-1] < 0.5:
            break
    assert min(seconds) < 0.5, seconds


def test_help_names_every_verb_and_says_how_to_begin(discern):
    text = discern("--help").stdout
    for verb in VERBS:
        assert f"\n  {verb} " in text
    assert "discern demo" in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_that_describes_its_options(discern, verb):
    finished = discern(verb, "-h")
    assert finished.exit_code == 0
    assert all(parameter.help for parameter in cli.commands[verb].params if parameter.param_type_name == "option")
    assert cli.commands[verb].help


def test_version(discern):
    assert discern("--version").stdout.startswith("discern, version ")


def test_preprocess_is_process():
    context = cli.make_context("discern", ["preprocess", "--help"], resilient_parsing=True)
    assert cli.get_command(context, "preprocess") is cli.commands["process"]


@pytest.mark.parametrize(
    ("verb", "option", "name"),
    [
        ("project", "all_batches", "all_batches"),
        ("project", "store_sigmas", "store_sigmas"),
        ("process", "copy_original", "copy_original"),
        ("process", "without_tfrecords", "without_tfrecords"),
        ("process", "allow_non_counts", "allow_non_counts"),
        ("validate", "allow_non_counts", "allow_non_counts"),
    ],
)
def test_options_are_understood_with_underscores_and_hyphens(verb, option, name):
    command = cli.commands[verb]
    settings = {"token_normalize_func": cli.context_settings["token_normalize_func"]}
    for spelling in (option, option.replace("_", "-")):
        context = command.make_context(verb, [f"--{spelling}", "a_b.json"], **settings)
        assert context.params[name] is True
        assert str(context.params["params"]) == "a_b.json"  # values keep their underscores


def test_values_of_options_keep_their_underscores():
    settings = {"token_normalize_func": cli.context_settings["token_normalize_func"]}
    arguments = ["p.json", "--metadata", "cell_type:T_cell", "--metadata=batch:a_b", "--filename", "x_y.h5ad"]
    context = cli.commands["project"].make_context("project", arguments, **settings)
    assert context.params["metadata"] == ("cell_type:T_cell", "batch:a_b")
    assert str(context.params["filename"]) == "x_y.h5ad"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("unheard",), "No such command 'unheard'"),
        (("process",), "Missing argument 'PARAMS'"),
        (("train", "p.json", "--al"), "No such option '--al'"),
        (("onlinetraining", "p.json"), "Missing option '--filename'"),
        (("demo", "--seed", "-1"), "Invalid value for '--seed'"),
    ],
)
def test_wrong_usage_exits_with_2(discern, arguments, message):
    finished = discern(*arguments)
    assert finished.exit_code == 2
    assert message in finished.stderr


def _raise(error):
    def work(*arguments):
        raise error

    return work


OUR_ERRORS = [kind for kind in DiscernError.__subclasses__() if kind.__module__ == "discern.errors"]


@pytest.mark.parametrize("kind", [DiscernError, *OUR_ERRORS])
def test_known_errors_print_their_message_and_exit_with_their_code(discern, monkeypatch, kind):
    monkeypatch.setattr("discern.workflows.experiment.read_experiments", _raise(kind("what was wrong")))
    finished = discern("validate", "p.json")
    assert finished.exit_code == kind.exit_code
    assert finished.stderr == "Error: what was wrong\n"


def test_the_exit_codes_are_those_of_the_documentation():
    codes = {kind.__name__: kind.exit_code for kind in OUR_ERRORS}
    assert codes == {
        "ParametersError": 2,
        "DataError": 3,
        "ExperimentError": 4,
        "OptionalDependencyError": 5,
        "DivergenceError": 6,
        "StoppedBySignalError": 143,
    }


@pytest.mark.parametrize("arguments", [("--debug", "validate", "p.json"), ("validate", "p.json", "--debug")])
def test_debug_shows_the_traceback_of_known_errors(discern, here, arguments):
    finished = discern(*arguments)
    assert finished.exit_code == 2
    assert "Traceback" in finished.stderr
    assert finished.stderr.rstrip().endswith("p.json does not exist.")


def test_unknown_errors_keep_their_traceback_and_exit_with_1():
    script = (
        "import sys, discern.workflows.experiment as e\n"
        "def broken(path): raise RuntimeError('a mistake of ours')\n"
        "e.read_experiments = broken\n"
        "sys.argv = ['discern', 'validate', 'p.json']\n"
        "from discern.cli.main import main; main()"
    )
    finished = python("-c", script)
    assert finished.returncode == 1
    assert "Traceback" in finished.stderr
    assert finished.stderr.rstrip().endswith("RuntimeError: a mistake of ours")


def test_an_interrupted_command_says_so(discern, monkeypatch):
    monkeypatch.setattr("discern.workflows.experiment.read_experiments", _raise(KeyboardInterrupt()))
    finished = discern("validate", "p.json")
    assert finished.exit_code == 130
    assert finished.stderr.strip() == "Interrupted."


def test_the_module_can_be_run():
    answer = python("-m", "discern", "train", "absent.json")
    assert (answer.returncode, answer.stderr) == (2, "Error: absent.json does not exist.\n")


@pytest.mark.parametrize(
    "fault", [PermissionError(13, "Permission denied", "ro/discern.log"), OSError(28, "No space left")]
)
def test_a_folder_that_cannot_be_written_gives_a_message(monkeypatch, capsys, fault):
    def fail(*args, **kwargs):
        raise fault

    monkeypatch.setattr("discern.cli.main.cli", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4
    message = capsys.readouterr().err
    assert str(fault) in message
    assert "Traceback" not in message
