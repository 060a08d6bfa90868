import pytest

from discern.cli.main import cli
from discern.cli.session import Session, exit_with, list_experiments, log_file, open_experiments
from discern.errors import ParametersError
from discern.workflows.side_by_side import Outcome

WITH_PARAMETERS = ("process", "train", "project", "onlinetraining", "validate")


@pytest.mark.usefixtures("here", "logging_as_before")
@pytest.mark.parametrize("verb", WITH_PARAMETERS)
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [], Session()),
        (["--debug"], [], Session(debug=True)),
        ([], ["--debug"], Session(debug=True)),
        (["-q"], [], Session(quiet=True)),
        ([], ["--quiet"], Session(quiet=True)),
        (["-v"], ["-v"], Session(verbose=2)),
        (["-vv"], ["--verbose", "--debug"], Session(verbose=3, debug=True)),
        (["--quiet"], ["--debug"], Session(quiet=True, debug=True)),
    ],
)
def test_global_options_count_before_and_after_the_verb(verb, before, after, expected):
    session = Session()
    extra = ["--filename", "x.h5ad"] if verb == "onlinetraining" else []
    with pytest.raises(ParametersError, match="absent"):
        cli([*before, verb, "absent.json", *extra, *after], obj=session, standalone_mode=False)
    assert session == expected


def test_quiet_wins_over_verbose():
    assert Session(verbose=2, quiet=True).verbosity == -1
    assert Session(verbose=2).verbosity == 2


@pytest.mark.usefixtures("logging_as_before")
def test_the_log_lies_in_the_folder_of_all_experiments(parameters, here):
    path = here / parameters(**{"group/deep/run": None, "other": None})
    experiments = open_experiments(Session(), path)
    assert [one.name for one in experiments] == ["group/deep/run", "other"]
    assert str(log_file(experiments)) == "exps/discern.log"
    assert (here / "exps" / "discern.log").is_file()


@pytest.mark.usefixtures("logging_as_before")
def test_listing_writes_nothing(parameters, here, files_of):
    path = here / parameters()
    before = files_of(here)
    assert len(list_experiments(Session(), path)) == 1
    assert files_of(here) == before


@pytest.mark.usefixtures("logging_as_before")
def test_debug_takes_the_first_experiment_only(parameters, here):
    path = here / parameters(first=None, second=None)
    assert [one.name for one in open_experiments(Session(debug=True), path)] == ["first"]


def test_failures_are_counted_and_named(capsys):
    outcomes = [Outcome("a"), Outcome("b", fault="x", exit_code=4), Outcome("c", fault="y", exit_code=3)]
    with pytest.raises(SystemExit) as end:
        exit_with(outcomes)
    assert end.value.code == 4
    assert capsys.readouterr().err == "2 of 3 experiments failed: b, c\n"


def test_success_returns():
    exit_with([Outcome("a"), Outcome("b")])
