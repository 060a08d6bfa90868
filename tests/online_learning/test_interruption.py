import os
import signal
import subprocess
import sys
import threading

import pytest

from discern.errors import StoppedBySignalError
from discern.online_learning.interruption import signals_deferred, unwinding_on_sigterm

COMMAND = """
import os, signal, sys, time
from pathlib import Path
from discern.cli import main as module
from discern.io.experiment_folder import ExperimentFolder
from discern.online_learning.interruption import unwinding_on_sigterm
from discern.online_learning.staging import staged_experiment

def work(**_):
    with unwinding_on_sigterm("Online training"), staged_experiment(ExperimentFolder(Path(sys.argv[1]))) as staging:
        staging.parameters_file.write_text("new")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

module.cli = work
module.main()
"""


def test_sigterm_unwinds_and_exits_with_143(tmp_path):
    ran = subprocess.run([sys.executable, "-c", COMMAND, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 143
    assert ran.stderr.strip() == "Error: Online training was interrupted (SIGTERM); nothing is left half done."
    assert list(tmp_path.iterdir()) == []


def test_the_handler_before_is_back_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedBySignalError), unwinding_on_sigterm("It"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_signal_sent_twice_does_not_stop_the_cleaning_up():
    cleaned = []
    with pytest.raises(StoppedBySignalError), unwinding_on_sigterm("It"):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned.append(True)
    assert cleaned


def test_an_ignored_signal_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with unwinding_on_sigterm("It"), signals_deferred():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("in_the_foreground")
def test_deferred_signals_arrive_afterwards():
    done = []
    with pytest.raises(StoppedBySignalError), unwinding_on_sigterm("It"), signals_deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append(True)
    assert done
    done.clear()
    with pytest.raises(KeyboardInterrupt), signals_deferred():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(True)
    assert done


def test_other_threads_change_nothing():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with unwinding_on_sigterm("It"), signals_deferred():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
