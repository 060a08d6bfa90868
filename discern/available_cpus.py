"""How many CPUs this process may use."""

import os


def available_cpus() -> int:
    """Return the CPUs this process may run on: its affinity, not the machine's size."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
