"""Work on many pieces at once: in this process, in processes of this machine, or wherever a caller's workers run.

Results come in the order of the pieces, whoever finished first, so that sums over them have the same bits with any
number of workers.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol, TypeVar

from discern.errors import DiscernError

Item = TypeVar("Item")
Result = TypeVar("Result")
_FEWEST_ITEMS = 5  # starting processes for fewer takes longer than the work itself
_IN_FLIGHT_PER_WORKER = 2  # keeps workers busy; more would only wait in memory


class Workers(Protocol):
    """Something that applies a function of a module to many items."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results in the order of the items; an error of one ends the work."""
        ...


class ThisProcess:
    """One item after the other, here."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results one by one."""
        return map(function, items)


class WorkerProcesses:
    """Processes of this machine; made by :func:`worker_processes`."""

    def __init__(self, pool: ProcessPoolExecutor, n_workers: int):
        """Use a pool.

        Args:
            pool: Where the work is done.
            n_workers: Its number of processes.
        """
        self._pool = pool
        self._in_flight = _IN_FLIGHT_PER_WORKER * n_workers

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results; only a few items more than there are workers are under way at a time.

        Raises:
            DiscernError: A worker was killed.
        """
        todo = list(items)
        if len(todo) < _FEWEST_ITEMS:
            yield from map(function, todo)
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for item in todo:
                waiting.append(self._pool.submit(function, item))
                if len(waiting) >= self._in_flight:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DiscernError(
                "A worker process was killed; the memory of this machine may be too small. Give fewer CPUs "
                "(input_ds.n_cpus_preprocessing) or more memory."
            ) from error
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def worker_processes(n_workers: int) -> Iterator[Workers]:
    """Give workers: this process when one is wanted, else that many fresh processes, which end with the block."""
    if n_workers <= 1:
        yield ThisProcess()
        return
    context = multiprocessing.get_context("spawn")  # forking a process that has threads may hang
    pool = ProcessPoolExecutor(n_workers, mp_context=context, initializer=_ignore_ctrl_c)
    try:
        yield WorkerProcesses(pool, n_workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches the whole group; the parent ends the workers
