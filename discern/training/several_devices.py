"""One model trained on several devices of this machine."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import tensorflow as tf

from discern.errors import ParametersError
from discern.layers.replicas import padded_share
from discern.training.config import TrainingConfig
from discern.training.devices import visible_gpus

_LOGGER = logging.getLogger(__name__)
_FOR_ONE_DEVICE = ("clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps", "ema_overwrite_frequency")


def on_gpus(gpus: Sequence[int], config: TrainingConfig, n_cells: int) -> AbstractContextManager[None]:
    """Let what is built and compiled here train on all of these GPUs that are there.

    No more of them are used than a minibatch has cells.

    Args:
        gpus: What :func:`~discern.training.devices.set_gpu_and_threads` was told.
        config: The training section.
        n_cells: Number of training cells.

    Raises:
        ParametersError: The optimizer has an argument that needs the gradient of the whole minibatch.
    """
    if len(gpus) < 2:
        return nullcontext()
    # TensorFlow that had started before shows all GPUs of the machine
    devices = visible_gpus()[: min(len(gpus), config.batch_size, n_cells)]
    unusable = [name for name in _FOR_ONE_DEVICE if config.optimizer.arguments.get(name)]
    if len(devices) > 1 and unusable:
        raise ParametersError(
            f"training.optimizer.{unusable[0]} cannot be used on {len(devices)} GPUs: Keras would apply it to the part of "
            "the gradient that each of them has. Leave it out, or name one GPU in training.GPU."
        )
    return on_devices(devices)


@contextmanager
def on_devices(devices: Sequence[str]) -> Iterator[None]:
    """Let what is built and compiled here train on all of these devices; with fewer than two nothing changes.

    Every device holds all weights and takes its share of every minibatch; the gradients are summed.

    Args:
        devices: Names of logical devices, e.g. ``["GPU:0", "GPU:1"]``.
    """
    if len(devices) < 2:
        yield
        return
    _LOGGER.info("Training on %d devices: %s", len(devices), ", ".join(devices))
    with _strategy(tuple(devices)).scope():
        yield


@cache
def _strategy(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # A second one for the same devices would number its exchanges as the first did, and TensorFlow mixes them up.
    return tf.distribute.MirroredStrategy(list(devices))


def shared_out(minibatches: tf.data.Dataset, strategy: tf.distribute.Strategy) -> tf.distribute.DistributedDataset:
    """Return the minibatches parted among the devices of a strategy: the same cells in every step as on one device.

    Args:
        minibatches: Structures of tensors, (n_cells, …) each; without end, as Keras counts the shares of a finite data
            set as minibatches.
        strategy: Whose devices take a share each.
    """
    replicas = strategy.num_replicas_in_sync

    def shares(*minibatch: Any) -> tf.data.Dataset:
        return tf.data.Dataset.range(replicas).map(lambda replica: padded_share(minibatch, replica, replicas))

    parted = minibatches.flat_map(shares)
    return strategy.distribute_datasets_from_function(lambda _: parted)
