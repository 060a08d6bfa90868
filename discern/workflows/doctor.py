"""``doctor``: what this machine offers, and whether it computes."""

import platform
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import psutil
import tensorflow as tf

from discern import __version__
from discern.available_cpus import available_cpus

_PACKAGES = ("tensorflow", "keras", "anndata", "scanpy", "numpy", "scipy", "pandas", "h5py", "pydantic")
_SIZE = 2048
_ALLOWED_ERROR = 1e-2  # TF32 and bfloat16 products are coarser than float32


def examine() -> Iterator[tuple[str, str]]:
    """Yield what was found, by name; every device multiplies two matrices."""
    yield "discern", __version__
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    for package in _PACKAGES:
        yield package, _version(package)
    memory = psutil.virtual_memory()
    yield "CPUs", f"{available_cpus()} usable of {psutil.cpu_count()}"
    yield "memory", f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f} GiB"
    yield "free disk here", f"{psutil.disk_usage('.').free / 2**30:.1f} GiB"
    yield (
        "TensorFlow threads",
        f"{_threads(tf.config.threading.get_intra_op_parallelism_threads())} within operations, "
        + (f"{_threads(tf.config.threading.get_inter_op_parallelism_threads())} between"),
    )
    yield "GPUs", str(len(tf.config.list_physical_devices("GPU")))
    for device in tf.config.list_logical_devices():
        yield f"matrix product, {device.name.removeprefix('/device:')}", _matrix_product(device.name)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _threads(number: int) -> str:
    return str(number) if number else "automatic"


def _matrix_product(device: str) -> str:
    values = np.random.default_rng(0).normal(size=(_SIZE, _SIZE)).astype(np.float32)
    try:
        with tf.device(device):
            matrix = tf.constant(values)
            product = tf.linalg.matmul(matrix, matrix).numpy()
            start = time.perf_counter()
            tf.linalg.matmul(matrix, matrix).numpy()
            seconds = time.perf_counter() - start
    except tf.errors.OpError as error:
        return f"failed: {error.message}"
    deviation = np.abs(product[0] - values[0].astype(np.float64) @ values).max() / _SIZE**0.5
    verdict = "correct" if deviation < _ALLOWED_ERROR else f"WRONG (off by {deviation:.2g})"
    return f"{2 * _SIZE**3 / seconds / 1e9:.0f} GFLOP/s, {verdict}"
