"""What a signal does to work that either ends whole or leaves everything as it was."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from discern.errors import StoppedBySignalError
from discern.training.received_signals import SIGNALS, ReceivedSignals


@contextmanager
def unwinding_on_sigterm(work: str) -> Iterator[None]:
    """Let SIGTERM raise an error while the block runs, so that it cleans up as for any other error; exit code 143.

    A second SIGTERM, when the first is a second old, ends the process at once. In a thread other than the main one,
    and where SIGTERM is ignored, nothing changes.

    Args:
        work: What the block does, for the message: "Online training".

    Raises:
        StoppedBySignalError: SIGTERM came.
    """
    if not _can_be_handled(signal.SIGTERM):
        yield
        return
    received = ReceivedSignals()

    def stop(number: int, frame: FrameType | None) -> None:
        is_first = received.first is None
        received.receive(number, frame)
        if is_first:
            raise StoppedBySignalError(f"{work} was interrupted (SIGTERM); nothing is left half done.")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the block has ended: for work of milliseconds that must not be half done."""
    handled = [number for number in SIGNALS if _can_be_handled(number)]
    received: list[int] = []
    before = {number: signal.signal(number, lambda which, frame: received.append(which)) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            os.kill(os.getpid(), received[0])


def _can_be_handled(number: signal.Signals) -> bool:
    """Tell whether this thread may choose what a signal does, and the signal is not to be ignored."""
    if threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(number) not in {signal.SIG_IGN, None}
