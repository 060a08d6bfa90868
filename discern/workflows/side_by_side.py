"""Several experiments at once: one process each, so that one failure or crash leaves the others running."""

import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from discern.errors import DiscernError, StoppedBySignalError
from discern.workflows.experiment import Experiment

_LOGGER = logging.getLogger(__name__)

Work = Callable[..., Any]
_EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """How one experiment ended.

    Attributes:
        name: The experiment.
        result: What the work returned; None when it failed.
        fault: The message when it failed.
        exit_code: 0 when it succeeded.
    """

    name: str
    result: Any = None
    fault: str = ""
    exit_code: int = 0


def run_each(
    work: Work,
    experiments: Sequence[Experiment],
    arguments: Mapping[str, Any],
    slots: Sequence[Mapping[str, Any]],
    start_process: Callable[[], None] | None = None,
) -> list[Outcome]:
    """Run ``work(experiment, **arguments, **slot)`` for every experiment, as many at once as there are slots.

    SIGTERM is passed on to those that run, which may save what they have; no other is started.

    Args:
        work: A function of a module.
        experiments: What to work on.
        arguments: The same for all.
        slots: What is shared out: a share of the CPUs, or a GPU; an experiment holds one while it runs.
        start_process: Called first in every process, e.g. to set up logging there.

    Returns:
        One outcome per experiment, in their order.

    Raises:
        StoppedBySignalError: SIGTERM came.
    """
    free: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
    for slot in slots:
        free.put(slot)
    ended = threading.Event()

    def run(experiment: Experiment) -> Outcome:
        if ended.is_set():
            return Outcome(experiment.name, fault="it was not started", exit_code=StoppedBySignalError.exit_code)
        slot = free.get()
        try:
            outcome = _in_process(work, experiment, {**arguments, **slot}, start_process)
        finally:
            free.put(slot)
        if outcome.exit_code:
            _LOGGER.error("%s failed: %s", outcome.name, outcome.fault)
        return outcome

    with _passing_on_sigterm(ended), ThreadPoolExecutor(max_workers=len(slots)) as pool:
        return list(pool.map(run, experiments))


def gpus_of_this_machine() -> list[int]:
    """Return the indices of the NVIDIA GPUs of this machine that this process may use, without starting any."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return list(range(len([one for one in allowed.split(",") if one.strip() not in {"", "-1"}])))
    return list(range(len(list(Path("/dev").glob("nvidia[0-9]*")))))


@contextmanager
def _passing_on_sigterm(ended: threading.Event) -> Iterator[None]:
    """Send a SIGTERM to the processes of the experiments, too, and raise; only the main thread may choose so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # some senders repeat it; the experiments are ending
        ended.set()
        for process in multiprocessing.active_children():
            process.terminate()
        raise StoppedBySignalError(
            "Interrupted (SIGTERM): the experiments that ran were told to end, no other is started."
        )

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _in_process(
    work: Work, experiment: Experiment, arguments: Mapping[str, Any], start_process: Callable[[], None] | None
) -> Outcome:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_work_and_tell, args=(sender, work, experiment, dict(arguments), start_process), name=experiment.name
    )
    process.start()
    sender.close()
    try:
        outcome: Outcome = receiver.recv()
    except EOFError:
        process.join()
        return Outcome(experiment.name, fault=_how_it_ended(process.exitcode), exit_code=1)
    process.join()
    return outcome


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code in {_EXIT_INTERRUPTED, -signal.SIGINT}:
        return "it was interrupted"
    if exit_code is None or exit_code >= 0:
        return f"its process ended with exit code {exit_code} before it was done"
    known = {int(one): one.name for one in signal.Signals}
    name = known.get(-exit_code, f"signal {-exit_code}")
    hint = "; the memory of this machine may be too small" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{hint}"


def _work_and_tell(
    sender: Connection,
    work: Work,
    experiment: Experiment,
    arguments: dict[str, Any],
    start_process: Callable[[], None] | None,
) -> None:
    try:
        if start_process is not None:
            start_process()
        outcome = Outcome(experiment.name, result=work(experiment, **arguments))
    except DiscernError as error:
        _LOGGER.debug("%s", traceback.format_exc())
        outcome = Outcome(experiment.name, fault=str(error), exit_code=error.exit_code)
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)
    except Exception:  # noqa: BLE001 - the process ends here; the parent gets the whole traceback
        outcome = Outcome(experiment.name, fault=traceback.format_exc(), exit_code=1)
    sender.send(outcome)
    sender.close()
