import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from discern.errors import DataError, DiscernError
from discern.workers import ThisProcess, worker_processes


def square(number):
    time.sleep(0.02 * (number % 3))  # later items finish first
    return number**2, os.getpid()


def fail_at_three(number):
    if number == 3:
        raise DataError("three is no count")
    return number


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_worker_is_this_process():
    with worker_processes(1) as workers:
        assert isinstance(workers, ThisProcess)
        assert [pid for _, pid in workers.map(square, range(3))] == [os.getpid()] * 3


def test_results_come_in_order_from_other_processes():
    with worker_processes(2) as workers:
        results = list(workers.map(square, range(12)))
        again = list(workers.map(square, range(12)))
    assert [value for value, _ in results] == [number**2 for number in range(12)]
    pids = {pid for _, pid in results}
    assert os.getpid() not in pids
    assert {pid for _, pid in again} <= pids  # the processes are kept


def test_few_items_start_no_process():
    with worker_processes(2) as workers:
        assert {pid for _, pid in workers.map(square, range(4))} == {os.getpid()}


def test_an_error_of_one_item_ends_the_work():
    with worker_processes(2) as workers, pytest.raises(DataError, match="three is no count"):
        list(workers.map(fail_at_three, range(12)))


def test_a_killed_worker_is_told():
    with worker_processes(2) as workers, pytest.raises(DiscernError, match="worker process was killed.*memory"):
        list(workers.map(die, range(12)))


def test_items_are_not_all_under_way_at_once():
    with worker_processes(2) as workers:
        results = workers.map(square, range(50))
        next(results)
        assert len(workers._pool._pending_work_items) <= 4


def test_ctrl_c_ends_parent_and_workers(tmp_path):
    script = tmp_path / "work.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, sys, time
        from discern.workers import worker_processes

        def wait(number):
            print(os.getpid(), flush=True)
            time.sleep(1)

        if __name__ == "__main__":
            signal.signal(signal.SIGINT, signal.default_int_handler)
            with worker_processes(2) as workers:
                for _ in workers.map(wait, range(60)):
                    pass
        """)
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        pids = {int(process.stdout.readline()) for _ in range(2)}
        os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
    assert "KeyboardInterrupt" in errors
    assert not any(alive(pid) for pid in pids)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
