"""One minibatch on several devices: the share that one of them holds, and what it needs of the whole.

``tf.distribute`` runs a step once on every device, each on its share of the cells; the runs are called replicas. Keras
has no names for what crosses replicas, so all of it is here. With one device every function hands on what it gets.

A step says which cells it holds (:func:`own_cells`); layers and losses then gather, draw and average over the whole
minibatch, so that several devices give what one gives, up to the rounding of float32.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class _Share:
    """Rows ``first`` to ``first + n_cells`` of a minibatch of ``n_whole`` cells."""

    first: Any
    n_cells: Any
    n_whole: Any


_SHARE: ContextVar[_Share | None] = ContextVar("share", default=None)


def n_replicas() -> int:
    """Return how many devices the present strategy trains on: 1 without one."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def padded_share(minibatch: Any, replica: Any, replicas: int) -> tuple[Any, Any]:
    """Return the cells of one replica and the number of cells of the whole minibatch.

    The shares follow each other and differ by one cell at most. All have as many rows as the largest, as Keras needs
    it: shorter ones repeat a cell that :func:`own_cells` takes off.

    Args:
        minibatch: Any structure of tensors, (n_cells, …) each.
        replica: Number of the replica.
        replicas: How many there are.
    """
    tensors = tf.nest.flatten(minibatch)
    n_whole = tensors[0].shape[0] or tf.shape(tensors[0])[0]
    first = _first_cell(tf.cast(replica, tf.int32), n_whole, replicas)
    rows = tf.minimum(first + tf.range(-(-n_whole // replicas)), n_whole - 1)
    return tf.nest.map_structure(lambda values: tf.gather(values, rows), minibatch), tf.cast(n_whole, tf.int32)


def _first_cell(replica: Any, n_whole: Any, replicas: int) -> Any:
    return replica * n_whole // replicas


@contextmanager
def own_cells(data: Any) -> Iterator[Any]:
    """Yield the cells of this replica; meanwhile the functions below know its share.

    Args:
        data: With several replicas what :func:`padded_share` returned; otherwise the cells.
    """
    if n_replicas() == 1:
        yield data
        return
    cells, n_whole = data
    replica, replicas = tf.distribute.get_replica_context().replica_id_in_sync_group, n_replicas()
    first = _first_cell(replica, n_whole, replicas)
    n_cells = _first_cell(replica + 1, n_whole, replicas) - first
    token = _SHARE.set(_Share(first, n_cells, n_whole))
    try:
        yield tf.nest.map_structure(lambda values: values[:n_cells], cells)
    finally:
        _SHARE.reset(token)


def whole_minibatch(tensors: Sequence[Any]) -> Sequence[Any]:
    """Return the rows of all replicas in their order, with gradients.

    Args:
        tensors: Values of the cells of this replica, (n_cells, …) each.
    """
    if _SHARE.get() is None:
        return tensors
    gathered = tf.distribute.get_replica_context().all_gather(list(tensors), axis=0)  # knows the rank only
    return [tf.ensure_shape(whole, (None, *own.shape[1:])) for whole, own in zip(gathered, tensors, strict=True)]


def own_rows(draw: Callable[[Any], Any], n_cells: Any) -> Any:
    """Return the rows of this replica of what is drawn for the whole minibatch.

    Every replica draws the same numbers and keeps others of them.

    Args:
        draw: Takes a number of cells and returns as many rows.
        n_cells: Number of cells of this replica.
    """
    share = _SHARE.get()
    if share is None:
        return draw(n_cells)
    return draw(share.n_whole)[share.first : share.first + share.n_cells]


def means_over_minibatch(means: Sequence[Any]) -> Sequence[Any]:
    """Return means over the cells of the whole minibatch from those over the cells of this replica, with gradients.

    Args:
        means: Scalars; several devices return them in float32.
    """
    share = _SHARE.get()
    if share is None:
        return means
    part = tf.cast(share.n_cells, tf.float32) / tf.cast(share.n_whole, tf.float32)
    # The mean over no cell is NaN: fewer validation cells than devices leave some without.
    weighed = tf.where(share.n_cells > 0, tf.stack([tf.cast(mean, tf.float32) for mean in means]) * part, 0.0)
    return tf.unstack(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, weighed))


def part_of_replica(loss: Any) -> Any:
    """Return what one replica adds to a loss that all of them know: Keras sums over replicas."""
    return loss if _SHARE.get() is None else loss / n_replicas()
