"""The Ray cluster that a search runs on, and what one trial is given there."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from discern.ray_workers import LOCAL, ray_workers
from discern.tuning.config import SearchConfig
from discern.tuning.search_sections import TrialResources

_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals end the search through EndOfSearch
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
_OBJECT_STORE_BYTES = 100 * 2**20  # nothing large travels through it
_LONGEST_FOLDER = 40  # of Ray's sockets, whose paths may have 107 bytes
_LOGGER = logging.getLogger(__name__)


@contextmanager
def search_cluster(search: SearchConfig) -> Iterator["TrialShare"]:
    """Start Ray or connect to it, and give what a trial can have there; what was started ends with the block.

    Raises:
        ExperimentError: No Ray cluster answers at the address.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    wanted = search.train_spec.resources_per_trial
    address = search.setup.address or LOCAL
    with ExitStack() as stack:
        of_local: dict[str, Any] = {}
        if address == LOCAL:
            of_local = {"num_gpus": search.setup.num_gpus, "object_store_memory": _OBJECT_STORE_BYTES}
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True))
            if len(scratch) <= _LONGEST_FOLDER:
                of_local["_temp_dir"] = scratch
        stack.enter_context(ray_workers(address, search.setup.num_cpus, **of_local))
        stack.enter_context(_logging_from(search.setup.logging_level))
        yield TrialShare.of_cluster(wanted)


@contextmanager
def _logging_from(level: str) -> Iterator[None]:
    """Let Ray's loggers, which importing it sets up, pass what is at least of this level."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


@dataclass(frozen=True)
class TrialShare:
    """What one trial is given, and how many trials fit.

    Attributes:
        bundles: CPUs and GPUs of the trial, and what is reserved beside it.
        n_trials: How many run at the same time.
    """

    bundles: list[dict[str, float]]
    n_trials: int

    @classmethod
    def of_cluster(cls, wanted: TrialResources) -> "TrialShare":
        """Return what is wanted, or what the largest machine of the cluster has when that is less."""
        import ray

        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        asked = {"CPU": (wanted.cpu, wanted.extra_cpu), "GPU": (wanted.gpu, wanted.extra_gpu)}
        bundles: list[dict[str, float]] = [{}, {}]
        for kind, (own, extra) in asked.items():
            most = max((float(machine.get(kind, 0.0)) for machine in machines), default=0.0)
            given = (min(own, most), min(extra, max(0.0, most - own)))
            if given != (own, extra):
                _LOGGER.warning(
                    "train_spec.resources_per_trial asks for %g %s, the largest machine has %g: a trial gets %g.",
                    own + extra,
                    kind if own + extra == 1 else f"{kind}s",
                    most,
                    sum(given),
                )
            for bundle, amount in zip(bundles, given, strict=True):
                bundle.update({kind: amount} if amount else {})
        total = {kind: sum(float(machine.get(kind, 0.0)) for machine in machines) for kind in asked}
        takes = {kind: sum(bundle.get(kind, 0.0) for bundle in bundles) for kind in asked}
        fitting = min(int(total[kind] / takes[kind] + 1e-9) for kind in asked if takes[kind])
        return cls([bundle for bundle in bundles if bundle] or [{"CPU": 1.0}], max(1, fitting))
