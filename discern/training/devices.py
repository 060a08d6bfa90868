"""GPUs and threads of this process."""

import logging
from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

from discern.available_cpus import available_cpus

_LOGGER = logging.getLogger(__name__)


def set_gpu_and_threads(
    n_threads: int, gpus: Sequence[int] | None, deterministic: bool | Literal["auto"] = "auto"
) -> None:
    """Choose the GPUs this process sees, the threads TensorFlow uses, and whether GPUs repeat their bits.

    A GPU that is not there is a warning where others are, and the CPU is used. TensorFlow cannot change these once it has run
    something: a second call that asks for something else is a warning.

    Args:
        n_threads: Threads of one operation, at most one per available CPU; half as many operations run side by side.
            0 lets TensorFlow decide.
        gpus: Indices of the GPUs; empty for the CPU only; None leaves all visible.
        deterministic: ``training.deterministic``; only a GPU needs to be told.
    """
    try:
        if n_threads > 0:
            n_threads = min(n_threads, available_cpus())
            inter = max(1, n_threads // 2)
            tf.config.threading.set_inter_op_parallelism_threads(inter)
            tf.config.threading.set_intra_op_parallelism_threads(n_threads)
        if gpus is not None:
            _show_gpus(gpus)
    except RuntimeError as error:
        _LOGGER.warning("Threads and GPUs stay as they are, TensorFlow has already started: %s", error)
    _repeat_bits(deterministic)


def gpu_names() -> list[str]:
    """Return the models of the GPUs TensorFlow may use; none is started."""
    gpus = tf.config.get_visible_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


def visible_gpus() -> list[str]:
    """Return the names of the GPUs TensorFlow sees; this starts them."""
    return [gpu.name for gpu in tf.config.list_logical_devices("GPU")]


def wants_xla(setting: bool | Literal["auto"]) -> bool:
    """Return whether to compile the training step.

    Args:
        setting: ``training.XLA``; ``auto`` compiles when TensorFlow sees a GPU. Within the scope of several devices
            nothing is compiled: Keras would compile what they exchange, too, which XLA cannot.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        if setting is True:
            _LOGGER.info("training.XLA is true, but a step on several GPUs is not compiled.")
        return False
    if setting == "auto":
        return bool(tf.config.get_visible_devices("GPU"))
    if setting and not tf.config.get_visible_devices("GPU"):
        _LOGGER.info("training.XLA is true, but on a CPU the compiled step is slower; 'auto' leaves it out there.")
    return setting


def _repeat_bits(deterministic: bool | Literal["auto"]) -> None:
    if not tf.config.get_visible_devices("GPU"):
        return
    if deterministic is True:
        tf.config.experimental.enable_op_determinism()
        _LOGGER.info(
            "training.deterministic: two runs give the same bits. On a GPU this takes time: deterministic operations are "
            "slower, and what has none is an error."
        )
    elif deterministic == "auto":
        _LOGGER.info("On a GPU two runs differ in the last bits; training.deterministic: true makes them equal.")


def _show_gpus(gpus: Sequence[int]) -> None:
    found = tf.config.list_physical_devices("GPU")
    gpus = list(dict.fromkeys(gpus))
    absent = [gpu for gpu in gpus if not 0 <= gpu < len(found)]
    if absent:
        _LOGGER.log(
            logging.WARNING if found else logging.INFO,  # shipped parameters name one, and most machines have none
            "GPU %s is not there (%d found); using %s.",
            ", ".join(map(str, absent)),
            len(found),
            "the others" if len(absent) < len(gpus) else "the CPU",
        )
    chosen = [found[gpu] for gpu in gpus if gpu not in absent]
    tf.config.set_visible_devices(chosen, "GPU")
    for gpu in chosen:
        tf.config.experimental.set_memory_growth(gpu, True)
