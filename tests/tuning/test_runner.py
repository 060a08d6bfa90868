"""What surrounds the trials of a search; the runs themselves are in tests/end_to_end/test_search.py."""

import copy
import logging
import signal
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from discern.errors import ExperimentError, ParametersError
from discern.training.received_signals import ReceivedSignals
from discern.tuning.cluster import TrialShare, search_cluster
from discern.tuning.config import search_config
from discern.tuning.past import PastTrial, read_past
from discern.tuning.progress_table import trials_shown
from discern.tuning.runner import _fit, _teach, _TrialNames, _warn_of_turns
from discern.tuning.search_folder import SearchFolder, sample_digest
from discern.tuning.search_sections import TrialResources
from discern.tuning.watching import EndOfSearch, TrialLog

SPACE = {"model": {"latent_dim": {"type": "choice", "name": "latent", "args": [[2, 3, 4, 5]]}}}


@dataclass
class Shown:
    """Keeps what is shown."""

    rows: list = field(default_factory=list)

    def __call__(self, name, result, status):
        self.rows.append((name, status))


class Trial:
    """A trial of Ray Tune, as far as callbacks see it."""

    def __init__(self, name, result=None, error=""):
        self.trial_id, self.last_result, self._name, self._error = name, result, name, error
        self.config = {"latent": 3}

    def __str__(self):
        return self._name

    def get_error(self):
        return self._error


def past(folder, name, values, status="finished"):
    return PastTrial(folder.trial(name), {"latent": 3}, [{"mmd": value, "epochs": 1} for value in values], status)


@pytest.fixture
def folder(tmp_path):
    return SearchFolder(tmp_path)


def nodes(monkeypatch, *resources):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": one} for one in resources])


def test_a_trial_gets_what_it_asks_for(monkeypatch):
    nodes(monkeypatch, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 4.0})
    found = TrialShare.of_cluster(TrialResources(cpu=2, gpu=0.5, extra_cpu=1))
    assert found == TrialShare([{"CPU": 2, "GPU": 0.5}, {"CPU": 1}], n_trials=2)


def test_a_trial_that_asks_for_more_than_there_is_gets_what_there_is(monkeypatch, caplog):
    nodes(monkeypatch, {"CPU": 2.0})
    found = TrialShare.of_cluster(TrialResources(cpu=10, gpu=1, extra_cpu=1))
    assert found == TrialShare([{"CPU": 2.0}], n_trials=1)
    assert "asks for 11 CPUs, the largest machine has 2: a trial gets 2." in caplog.text
    assert "asks for 1 GPU, the largest machine has 0: a trial gets 0." in caplog.text


@pytest.mark.parametrize("level", ["INFO", "ERROR", None])
def test_the_search_file_tells_what_ray_logs(monkeypatch, level):
    nodes(monkeypatch, {"CPU": 2.0})
    monkeypatch.setattr("discern.tuning.cluster.ray_workers", lambda *address, **options: nullcontext())
    logger = logging.getLogger("ray")
    before = logger.level
    setup = {} if level is None else {"setup": {"logging_level": level}}
    with search_cluster(search_config({"search_space": SPACE, **setup})):
        assert logging.getLevelName(logging.getLogger("ray.tune.x").getEffectiveLevel()) == (level or "WARNING")
    assert logger.level == before


def test_trials_that_take_turns_are_slow(caplog):
    _warn_of_turns("ASHA", 8, 2)
    _warn_of_turns("PopulationBasedTraining", 2, 2)
    assert not caplog.records
    _warn_of_turns("PopulationBasedTraining", 8, 2)
    assert "PopulationBasedTraining keeps all 8 trials alive, and only 2 can run at the same time" in caplog.text
    assert "train_spec.num_samples" in caplog.text


def test_successive_halving_compares_with_the_trials_of_earlier_runs(folder):
    from discern.tuning.algorithms import build_scheduler

    scheduler = {"name": "ASHA", "max_t": 10, "grace_period": 1, "reduction_factor": 2}
    search = search_config({"search_space": SPACE, "scheduler": scheduler, "analysis": {"metric": "mmd"}})
    decisions = []
    for ended in ([], [past(folder, "0001_a", [0.1, 0.1]), past(folder, "0002_b", [0.2, 0.2])]):
        built = build_scheduler(search, 0)
        _teach(built, search, ended)
        trial = Trial("0003_c")
        built.on_trial_add(None, trial)
        decisions.append(built.on_trial_result(None, trial, {"training_iteration": 1, "mmd": 0.3}))
    assert decisions == ["CONTINUE", "STOP"]


def test_the_median_rule_compares_with_the_trials_of_earlier_runs(folder):
    from discern.tuning.algorithms import build_scheduler

    scheduler = {"name": "median", "grace_period": 0, "min_samples_required": 2}
    search = search_config({"search_space": SPACE, "scheduler": scheduler, "analysis": {"metric": "mmd"}})
    built = build_scheduler(search, 0)
    _teach(built, search, [past(folder, "0001_a", [0.1, 0.1]), past(folder, "0002_b", [0.2, 0.2])])
    trial = Trial("0003_c")
    built.on_trial_add(None, trial)
    assert built.on_trial_result(None, trial, {"training_iteration": 1, "mmd": 0.3}) == "STOP"


def test_names_go_on_where_they_ended_and_a_begun_trial_keeps_its_own(folder):
    search = search_config({"search_space": SPACE})
    for name in ("0001_a", "0007_b"):
        folder.trial(name).path.mkdir(parents=True)
        folder.trial(name).sample_file.write_text('{"latent": 3}')
    begun = read_past(folder)[:1]
    names = copy.deepcopy(_TrialNames(folder, search, begun))  # as Ray Tune does for every trial
    three, four = SimpleNamespace(config={"latent": 3, "x": 1}), SimpleNamespace(config={"latent": 4})
    assert copy.deepcopy(names)(three) == "0001_a"
    assert copy.deepcopy(names)(three) == f"0008_{sample_digest({'latent': 3})}"
    assert copy.deepcopy(names)(four) == f"0009_{sample_digest({'latent': 4})}"


def test_thresholds_end_a_trial():
    end = EndOfSearch({"auc": 0.4, "early_stopped": True}, ReceivedSignals())
    assert not end("trial", {"auc": 0.3, "early_stopped": False})
    assert end("trial", {"auc": 0.4}) and end("trial", {"early_stopped": True})
    assert not end("trial", {"mmd": 9.0})
    assert not end.stop_all()


def test_a_signal_or_the_time_budget_ends_the_search():
    received = ReceivedSignals()
    end = EndOfSearch({}, received)
    received.receive(2, None)
    assert end.stop_all() and end.reason == "SIGINT came"
    end = EndOfSearch({}, ReceivedSignals(), seconds=0.01)
    time.sleep(0.02)
    assert end.stop_all() and "0.01 s of its time budget" in end.reason


def test_how_trials_end_is_written(folder, caplog, monkeypatch):
    monkeypatch.setattr("discern.tuning.watching._SECONDS_OF_A_SIGNAL", 0.0)
    shown, end = Shown(), EndOfSearch({}, ReceivedSignals())
    log = TrialLog(folder, {"mmd"}, end, shown)
    log.on_trial_result(1, [], Trial("a"), {"mmd": 0.1})
    log.on_trial_complete(1, [], Trial("a", {"mmd": 0.1}))
    log.on_trial_complete(1, [], Trial("b", {"mmd": 1e30, "diverged": True, "why": "loss is not finite"}))
    log.on_trial_error(1, [], Trial("c", {}, "Traceback\n  line\nOutOfMemory: too large\n"))
    outcomes = {name: folder.trial(name).read_outcome() for name in "abc"}
    assert outcomes == {
        "a": {"status": "finished", "why": ""},
        "b": {"status": "diverged", "why": "loss is not finite"},
        "c": {"status": "failed", "why": "OutOfMemory: too large"},
    }
    assert folder.trial("c").error_file.read_text() == "Traceback\n  line\nOutOfMemory: too large\n"
    assert shown.rows == [("a", "running"), ("a", "finished"), ("b", "diverged"), ("c", "failed")]
    assert log.fault is None and not end.stop_all()


@pytest.mark.parametrize("after", [0.0, 0.3])
def test_a_trial_that_dies_of_the_signal_that_ends_the_search_has_not_failed(folder, caplog, after):
    received = ReceivedSignals()
    log = TrialLog(folder, {"mmd"}, EndOfSearch({}, received), Shown())
    timer = threading.Timer(after, received.receive, (signal.SIGTERM, None))
    timer.start()
    log.on_trial_error(1, [], Trial("a", {"mmd": 0.1}, "ActorDiedError: its process was lost"))
    log.on_trial_recover(1, [], Trial("b", {"mmd": 0.1}, "ActorDiedError: its process was lost"))
    timer.join()
    assert folder.trial("a").read_outcome() is None
    assert folder.trial("a").error_file.read_text() == "ActorDiedError: its process was lost"
    assert not caplog.records


def test_a_metric_that_no_trial_reports_ends_the_search(folder):
    end = EndOfSearch({}, ReceivedSignals())
    log = TrialLog(folder, {"mmd", "val_other_loss"}, end, Shown())
    log.on_trial_result(1, [], Trial("a"), {"mmd": 1e30, "failed": True})
    assert not end.stop_all()  # one that failed reports less
    log.on_trial_result(1, [], Trial("a"), {"mmd": 0.1, "val_some_loss": 1.0})
    assert end.stop_all()
    assert isinstance(log.fault, ParametersError) and "no trial reports val_other_loss" in str(log.fault)


def test_trials_are_told_in_plain_lines_without_a_terminal(caplog):
    caplog.set_level("INFO")
    with trials_shown("mmd", 2) as show:
        show("0001_a", {}, "running")
        show("0001_a", {"mmd": 0.123456789, "epochs": 5, "seconds": 61.0}, "running")
        show("0001_a", {}, "finished")
    assert [record.getMessage() for record in caplog.records] == [
        "Trial 0001_a begins",
        "Trial 0001_a: mmd 0.12346, 5 epochs, 1 min 1 s",
        "Trial 0001_a finished (1 of 2): mmd 0.12346, 5 epochs, 1 min 1 s",
    ]


def test_trials_are_a_table_in_a_terminal(capsys, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    with trials_shown("mmd", 2) as show:
        show("0001_a", {"mmd": 0.5, "epochs": 5, "seconds": 61.0}, "finished")
        show("0002_b", {"mmd": 0.25, "epochs": 4, "seconds": 9.0}, "running")
        show("0003_c", {}, "running")
    told = capsys.readouterr().err
    assert "1 of 2 trials ended" in told
    assert 0 < told.index("0002_b") < told.index("0001_a") < told.index("0003_c")  # best first


def test_a_cluster_that_is_lost_is_told():
    ray = pytest.importorskip("ray")

    def fit():
        raise ray.exceptions.RaySystemError("the head node\nis gone")

    with pytest.raises(
        ExperimentError, match="Ray ended the search: .*the head node is gone.*discern optimize. goes on"
    ):
        _fit(SimpleNamespace(fit=fit))
