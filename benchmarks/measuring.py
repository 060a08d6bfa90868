"""What a command costs: time, memory of its process and all its children, disk. Linux only."""

import os
import platform
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

SECONDS_BETWEEN_SAMPLES = 0.1
SAMPLES_BETWEEN_DISK_SAMPLES = 10
TEMPORARY = "temporary"


class CommandFailedError(Exception):
    """A measured command ended with an error."""


@dataclass(frozen=True)
class Measurement:
    """What one command took.

    Attributes:
        seconds: Wall time.
        cpu_seconds: Time on all processors, children included.
        peak_bytes: Most resident memory of the process and its children together, sampled ten times a second. Pages that
            two processes share count twice, so this is never too little by sharing.
        largest_process_bytes: Most resident memory of any one of them. The kernel keeps this number, so a peak between two
            samples counts.
        disk_peak_bytes: Most that the folder held beyond what it held before, sampled once a second; temporary files
            count.
        disk_left_bytes: What the folder holds afterwards beyond what it held before.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    largest_process_bytes: int
    disk_peak_bytes: int
    disk_left_bytes: int


class _Sampler:
    """Watches the memory of a process tree and the size of a folder until it is stopped."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.peak_bytes = 0
        self.largest_process_bytes = 0
        self.disk_bytes = 0
        self._root = psutil.Process(pid)
        self._folder = folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        number = 0
        while not self._stop.wait(SECONDS_BETWEEN_SAMPLES):
            resident, highest = tree_bytes(self._root)
            self.largest_process_bytes = max(self.largest_process_bytes, highest)
            self.peak_bytes = max(self.peak_bytes, resident, highest)
            if number % SAMPLES_BETWEEN_DISK_SAMPLES == 0:
                self.disk_bytes = max(self.disk_bytes, folder_bytes(self._folder))
            number += 1


def measure(command: Sequence[str], folder: Path, log: Path) -> Measurement:
    """Run a command and return what it took.

    The command's temporary files go into ``folder`` too, so that they are counted; they are removed afterwards.

    Args:
        command: Program and arguments.
        folder: Where the command writes.
        log: File for what it prints; outside of ``folder`` or it counts as written.

    Raises:
        CommandFailedError: The command ended with an error; the message shows the end of the log.
    """
    temporary = folder / TEMPORARY
    temporary.mkdir(parents=True, exist_ok=True)
    before = folder_bytes(folder)
    try:
        with log.open("wb") as stream:
            start = time.perf_counter()
            process = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(temporary)}
            )
            sampler = _Sampler(process.pid, folder)
            try:
                _, status, usage = os.wait4(process.pid, 0)
                seconds = time.perf_counter() - start
                process.returncode = os.waitstatus_to_exitcode(status)
            finally:
                if process.returncode is None:
                    process.kill()
                    process.wait()
                sampler.stop()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if process.returncode:
        last_lines = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise CommandFailedError(f"{' '.join(command)} ended with {process.returncode}. {log} ends with:\n{last_lines}")
    left = folder_bytes(folder) - before
    return Measurement(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=sampler.peak_bytes,
        largest_process_bytes=sampler.largest_process_bytes,
        disk_peak_bytes=max(sampler.disk_bytes - before, left),
        disk_left_bytes=left,
    )


def tree_bytes(root: psutil.Process) -> tuple[int, int]:
    """Return the resident memory of a process and all its children together, and the most that any of them ever had.

    The kernel's other count, ``ru_maxrss``, is of no use here: it starts with the memory of the process that started the
    command.
    """
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0, 0
    sizes = [_resident_and_highest(process.pid) for process in processes]
    return sum(resident for resident, _ in sizes), max(highest for _, highest in sizes)


def _resident_and_highest(pid: int) -> tuple[int, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0, 0
    values = dict(line.split(":", maxsplit=1) for line in lines)
    resident, highest = (int(values.get(name, "0 kB").split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return resident, highest


def folder_bytes(folder: Path) -> int:
    """Return what the files of a folder take on the disk; files may come and go meanwhile."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(Path(path) / name).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def machine() -> dict[str, str]:
    """Return what a reader of the numbers must know about the machine and the software."""
    return {
        "processor": _processor(),
        "cores": f"{os.cpu_count()}, of which {len(os.sched_getaffinity(0))} may be used",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": platform.platform(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in ("tensorflow", "keras", "anndata", "h5py", "numpy", "scipy")},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
