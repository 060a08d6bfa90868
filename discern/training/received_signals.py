"""SIGINT and SIGTERM are noticed, so that work can end where it can be taken up."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_OF_ONE = 1.0


class ReceivedSignals:
    """Remembers the first SIGINT or SIGTERM; another one ends the process at once.

    Attributes:
        first: The signal, if any came.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._time = 0.0

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.first is None:
            self.first, self._time = signal.Signals(number), time.monotonic()
        elif time.monotonic() - self._time > _SECONDS_OF_ONE:  # `timeout` and some schedulers send one signal twice
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextmanager
def signals_received() -> Iterator[ReceivedSignals]:
    """Notice SIGINT and SIGTERM instead of ending; in a thread other than the main one nothing is noticed."""
    received = ReceivedSignals()
    with noticed_by(received):
        yield received


@contextmanager
def noticed_by(received: ReceivedSignals) -> Iterator[None]:
    """Let SIGINT and SIGTERM be noticed by this object, also where a library has set its own handlers meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # e.g. SIGINT in the background of a shell script
            signal.signal(number, received.receive)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
