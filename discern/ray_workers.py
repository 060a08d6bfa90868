"""Workers of a Ray cluster: one of this machine, which is started when none is named, or a running one."""

import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from discern.errors import DiscernError, ExperimentError, counted
from discern.workers import Item, Result, Workers

LOCAL = "local"
_IN_FLIGHT_PER_CPU = 2
_SECONDS_TO_ANSWER = 10.0
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # the first error is raised; later ones would only be printed
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_LOOPBACK = "127.0.0.1"
# Ray replaces a loopback address by that of a network interface, and then listens on all of them, unless this is 0. The
# name speaks of other systems, where 0 is the default; Ray reads it when it is imported.
_ONE_MACHINE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_AUTHENTICATION = "RAY_AUTH_MODE"
_LOGGER = logging.getLogger(__name__)


class RayWorkers:
    """Tasks of Ray; made by :func:`ray_workers`. What one machine loses another one repeats."""

    def __init__(self, n_cpus: int):
        """Use the cluster this process is connected to.

        Args:
            n_cpus: CPUs of the cluster.
        """
        self._in_flight = _IN_FLIGHT_PER_CPU * max(1, n_cpus)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results in the order of the items; only a few more than there are CPUs are under way at a time.

        Raises:
            DiscernError: A task failed for a reason of ours, or its machine was lost again and again.
        """
        import ray

        task = ray.remote(num_cpus=1, max_retries=3)(_apply)
        shared = ray.put(function)
        waiting: deque[Any] = deque()
        try:
            for item in items:
                waiting.append(task.remote(shared, item))
                if len(waiting) >= self._in_flight:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for reference in waiting:
                ray.cancel(reference)


def _apply(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


def _result(reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise DiscernError(f"The Ray cluster lost a task: {error}. Is the memory of its machines too small?") from error


@contextmanager
def ray_workers(address: str = LOCAL, n_cpus: int | None = None, **of_local: Any) -> Iterator[Workers]:
    """Connect to a Ray cluster and give its workers; the connection ends with the block.

    A local cluster listens on the loopback interface only, unless this process had imported Ray before: then a warning
    tells it, and Ray's token is what keeps others out. The machines of another cluster must see the same files under the
    same names and have this program installed.

    Args:
        address: ``local`` starts a cluster on this machine; else where a running one is: HOST:PORT, or ``auto``.
        n_cpus: CPUs of a local cluster; all when None.
        **of_local: Further arguments of ``ray.init`` for a local cluster.

    Raises:
        ExperimentError: No cluster answers at the address.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        _require_listener(address)
        ray = _connect(address, {"num_cpus": n_cpus, **of_local})
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ExperimentError(
            f"No Ray cluster answers at '{address}': {reason.rstrip('.')}. Start one with `ray start --head` and give its "
            "HOST:PORT, or leave the address out for one on this machine."
        ) from error
    try:
        cpus = int(ray.cluster_resources().get("CPU", 1))
        machines = sum(node["Alive"] for node in ray.nodes())
        _LOGGER.info("Ray: %s on %s", counted(cpus, "CPU"), counted(machines, "machine"))
        yield RayWorkers(cpus)
    finally:
        ray.shutdown()


def _connect(address: str, of_local: dict[str, Any]) -> Any:
    """Connect this process to a cluster, or start one, and return the module ``ray``."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    # a local cluster has a token in any case; said before Ray is imported, it does not warn of it
    quiet = address == LOCAL and _AUTHENTICATION not in os.environ and "ray" not in sys.modules
    token = "token" if quiet else None
    with _set(_ONE_MACHINE, "0" if address == LOCAL else None), _set(_AUTHENTICATION, token):
        import ray

        if address == LOCAL:
            options |= {**of_local, "include_dashboard": False, "_node_ip_address": _LOOPBACK}
        ray.init(address=address, **options)
    if address == LOCAL and any(node["NodeManagerAddress"] != _LOOPBACK for node in ray.nodes()):
        _LOGGER.warning(
            "Ray listens on all network interfaces, since it had been imported before; its token keeps others out. "
            "Set %s=0 before the program starts to have it listen on this machine only.",
            _ONE_MACHINE,
        )
    return ray


@contextmanager
def _set(variable: str, value: str | None) -> Iterator[None]:
    """Set a variable of the environment for a while; None leaves it as it is."""
    before = os.environ.get(variable)
    if value is not None:
        os.environ[variable] = value
    try:
        yield
    finally:
        if value is not None and before is None:
            del os.environ[variable]
        elif before is not None:
            os.environ[variable] = before


def _require_listener(address: str) -> None:
    """Try a connection: Ray itself would try for minutes.

    Raises:
        OSError: Nothing listens there.
        ValueError: The port is no number.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
