import logging
import multiprocessing
import pickle
import warnings

import pytest

from discern.cli.logs import set_up_logging, start_process

pytestmark = pytest.mark.usefixtures("logging_as_before")


def log_everything():
    program, library = logging.getLogger("discern.somewhere"), logging.getLogger("library")
    for logger, name in ((program, "ours"), (library, "theirs")):
        for level in ("debug", "info", "warning"):
            getattr(logger, level)("%s %s", name, level)


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        (-1, ["ours warning", "theirs warning"]),
        (0, ["ours info", "ours warning", "theirs warning"]),
        (1, ["ours debug", "ours info", "ours warning", "theirs warning"]),
        (2, ["ours debug", "ours info", "ours warning", "theirs debug", "theirs info", "theirs warning"]),
    ],
)
def test_the_terminal_shows_what_was_asked_for(capsys, verbosity, shown):
    set_up_logging(verbosity)
    log_everything()
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.rpartition(": ")[2] for line in err.splitlines()] == shown


@pytest.mark.parametrize("verbosity", [-1, 0, 1])
def test_the_file_gets_everything_of_ours(tmp_path, verbosity):
    path = tmp_path / "new" / "discern.log"
    set_up_logging(verbosity, path)
    log_everything()
    text = path.read_text()
    assert all(f"ours {level}" in text for level in ("debug", "info", "warning"))
    assert "DEBUG MainProcess discern.somewhere: ours debug" in text
    assert "theirs debug" not in text


def test_the_file_grows_and_lines_are_not_doubled(tmp_path):
    path = tmp_path / "discern.log"
    for _ in range(2):
        set_up_logging(0, path)
        logging.getLogger("discern").info("once per run")
    assert path.read_text().count("once per run") == 2


def test_warnings_are_logged_in_one_line(tmp_path, capsys):
    path = tmp_path / "discern.log"
    set_up_logging(0, path)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("to be replaced", FutureWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert capsys.readouterr().err == "FutureWarning: to be replaced\n"  # one line, without the place in the code
    assert "WARNING MainProcess py.warnings: FutureWarning: to be replaced\n" in path.read_text()


def test_processes_of_several_experiments_name_themselves(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(multiprocessing.current_process(), "name", "group/run1")
    pickle.loads(pickle.dumps(start_process(0, tmp_path / "discern.log", with_tensorflow=False)))()  # noqa: S301
    logging.getLogger("discern").info("halfway")
    assert capsys.readouterr().err == "[group/run1] halfway\n"
    assert "INFO group/run1 discern: halfway" in (tmp_path / "discern.log").read_text()
