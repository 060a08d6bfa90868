"""provenance.json: how the files of an experiment came to be, one entry per step, the latest last."""

import logging
import math
import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from discern import __version__
from discern.errors import ParametersError
from discern.io.json_files import read_json
from discern.io.whole_files import write_json

_LOGGER = logging.getLogger(__name__)
_LIBRARIES = ("tensorflow", "keras", "anndata", "numpy", "scipy", "pandas", "h5py")


def append_step(path: Path, step: Mapping[str, Any]) -> None:
    """Add one step; the file appears whole with it or stays as it was.

    A damaged file is kept as ``provenance.damaged.json`` and a new one is begun.
    """
    steps = read_steps(path)
    if path.exists() and steps is None:
        aside = path.with_suffix(f".damaged{path.suffix}")
        _LOGGER.warning("%s cannot be read; it is kept as %s and a new one is begun.", path, aside.name)
        path.replace(aside)
    write_json(path, {"steps": [*(steps or []), step]})


def read_steps(path: Path) -> list[dict[str, Any]] | None:
    """Return the steps so far; None when there is no file or it holds something else."""
    try:
        steps = read_json(path).get("steps")
    except (ParametersError, OSError):
        return None
    good = isinstance(steps, list) and all(isinstance(step, dict) for step in steps)
    return steps if good else None


def hashed_files(path: Path) -> list[dict[str, str]]:
    """Return the inputs that earlier steps hashed, but for those that were just being changed."""
    found = []
    for step in read_steps(path) or []:
        inputs, started = step.get("inputs"), step.get("started")
        for one in inputs if isinstance(inputs, list) else []:
            texts = [one.get(key) for key in ("path", "sha256", "modified")] if isinstance(one, dict) else [None]
            if all(isinstance(text, str) for text in [started, *texts]) and one["modified"] < started:
                found.append(one)
    return found


def versions() -> dict[str, str | None]:
    """Return the versions of the program, of Python and of the libraries that numbers depend on; none is imported."""
    return {"discern": __version__, "python": platform.python_version()} | {name: _version(name) for name in _LIBRARIES}


def command_line() -> str:
    """Return how this process was called, as it can be typed again."""
    program, *arguments = sys.argv or [""]
    ours = Path(program).name == "__main__.py" and Path(program).parent.name == "discern"
    return shlex.join(["discern" if ours else program, *arguments])


def processor() -> str:
    """Return the name of the processor: another kind may round otherwise."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def peak_memory() -> dict[str, int | None]:
    """Return the most memory that was resident at a time, bytes: of this process, and of the largest that it started.

    A started process may count what this one held when it was started.
    """
    try:
        import resource
    except ImportError:  # Windows
        return {"process": None, "largest_child": None}
    unit = 1 if sys.platform == "darwin" else 1024
    child, own = (resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    return {"process": _high_water_mark() or own, "largest_child": child}


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it; what JSON has no word for is text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _high_water_mark() -> int | None:
    """Return the kernel's mark of this program, bytes; ru_maxrss also counts the process that started it."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(marks[0]) * 1024 if marks else None
