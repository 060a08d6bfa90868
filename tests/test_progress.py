import logging
import re
import sys

import pytest

from discern.progress import duration, progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that only goes when it is told to."""

    class Clock:
        now = 100.0

    monkeypatch.setattr("discern.progress.time.monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def messages(caplog):
    caplog.set_level(logging.INFO, "discern.progress")
    return lambda: [record.message for record in caplog.records]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.9, "1 h 0 min"),
        (7260, "2 h 1 min"),
        (float("inf"), "an unknown time"),
        (float("nan"), "an unknown time"),
    ],
)
def test_durations_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_one_line_in_ten_seconds_and_one_at_the_end(clock, messages):
    with progress("Reading, cell", 100) as report:
        for done in range(1, 101):
            clock.now += 0.5
            report(done)
    assert [message.split(",")[1] for message in messages()] == [f" cell {n}/100" for n in (20, 40, 60, 80, 100)]
    assert messages()[0] == "Reading, cell 20/100, about 40 s left"
    assert messages()[-1] == "Reading, cell 100/100, about 0 s left"


def test_every_step_when_asked_for(clock, messages):
    with progress("Epoch", 4, every_step=True) as report:
        clock.now += 30  # of which most was compiling
        report(1, "loss 5")
        clock.now += 2
        report(2)
        clock.now += 4
        report(3)
    assert messages() == ["Epoch 1/4: loss 5", "Epoch 2/4, about 4 s left", "Epoch 3/4, about 3 s left"]


def test_one_long_step_is_enough_for_an_estimate(clock, messages):
    with progress("Epoch", 3, every_step=True) as report:
        clock.now += 600
        report(1)
    assert messages() == ["Epoch 1/3, about 20 min 0 s left"]


def test_nothing_done_yet_tells_no_time(clock, messages):
    with progress("Epoch", 3, every_step=True) as report:
        clock.now += 100
        report(0)
    assert messages() == ["Epoch 0/3"]


def test_work_that_is_taken_up_counts_what_was_done_before(clock, messages):
    with progress("Epoch", 200, every_step=True, done_before=30) as report:
        clock.now += 100
        report(31)
        clock.now += 10
        report(32)
    assert messages() == ["Epoch 31/200, about 4 h 41 min left", "Epoch 32/200, about 28 min 0 s left"]


def test_work_that_may_end_early_tells_a_limit(clock, messages):
    with progress("Epoch", 3, every_step=True, may_end_early=True) as report:
        report(1)
        clock.now += 5
        report(2)
    assert messages() == ["Epoch 1/3", "Epoch 2/3, at most about 5 s left"]


def test_an_error_inside_goes_through(messages):
    with pytest.raises(ValueError, match="inside"), progress("Epoch", 3) as report:
        report(1)
        raise ValueError("inside")


def test_a_bar_in_a_terminal(messages, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("Projecting", 10) as report:
        report(10, "done")
    assert "Projecting" in capsys.readouterr().err
    assert messages() == []


def test_a_bar_begins_with_what_was_done_before(messages, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("Epoch", 10, done_before=5, may_end_early=True) as report:
        report(5, "loss 1")
    shown = capsys.readouterr().err
    assert " 50%" in shown
    assert "left ≤" in shown


def test_a_terminal_of_80_columns_shows_all_of_a_training(messages, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    with progress("Training, epoch", 200, may_end_early=True) as report:
        report(60, "loss 12381.6, val_loss 11684.4")
    last = re.sub(r"\x1b\[[?\d;]*\w", "", capsys.readouterr().err).split("Training, epoch")[-1]
    assert re.fullmatch(r" [━╸╺]{4,}  30% 0:00:00 left ≤ \S+ loss 12381\.6, val_loss 11684\.4\s*", last)


def test_no_bar_when_logging_is_quiet(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logging.getLogger("discern.progress").setLevel(logging.WARNING)
    try:
        with progress("Projecting", 10) as report:
            report(10)
    finally:
        logging.getLogger("discern.progress").setLevel(logging.NOTSET)
    assert capsys.readouterr().err == ""


def test_no_bar_where_only_a_file_takes_the_lines(monkeypatch, capsys, tmp_path):
    """As `-q` sets it up: the loggers pass everything on, the terminal takes warnings only."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logger = logging.getLogger("discern.progress")
    terminal, file = logging.StreamHandler(), logging.FileHandler(tmp_path / "discern.log")
    terminal.setLevel(logging.WARNING)
    monkeypatch.setattr(logger, "handlers", [terminal, file])
    monkeypatch.setattr(logger, "propagate", False)
    logger.setLevel(logging.DEBUG)
    try:
        with progress("Projecting", 10, every_step=True) as report:
            report(10)
    finally:
        logger.setLevel(logging.NOTSET)
        file.close()
    assert capsys.readouterr().err == ""
    assert "Projecting" in (tmp_path / "discern.log").read_text()
