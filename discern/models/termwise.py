"""The one place where the terms of a loss are weighed, summed and logged."""

from collections.abc import Mapping
from typing import Any, Protocol

import keras
from keras import ops

from discern.compiled_regions import values_only
from discern.errors import ParametersError
from discern.layers.replicas import means_over_minibatch, n_replicas, own_cells, part_of_replica


class Objective(Protocol):
    """What a family minimises: named terms and their weights."""

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of every term by name."""
        ...

    def terms(self, inputs: Any, targets: Any, outputs: Any) -> Mapping[str, Any]:
        """Return every term by name: per cell, or already reduced. The loss is the weighted sum of their means."""
        ...


class TermwiseModel(keras.Model):
    """A Keras model whose loss is the weighted sum of an objective's named terms.

    The history holds the unweighted mean of every term as ``<term>_loss``, ``loss`` is the total including the
    regularisation of the layers.
    """

    def compile_objective(self, objective: Objective, optimizer: Any, jit_compile: bool) -> None:
        """Make the model ready for ``fit``.

        Args:
            objective: What is minimised.
            optimizer: A Keras optimizer.
            jit_compile: Compile the training step with XLA.

        Raises:
            ParametersError: A layer penalises its activity, and there are several devices.
        """
        if n_replicas() > 1 and any(getattr(one, "activity_regularizer", None) for one in self._flatten_layers()):
            # Keras collects the penalties of all devices in one list, which they mix up where they exchange tensors
            raise ParametersError(
                "model.conditional_regularization cannot be used on several GPUs: Keras would mix up the penalties of their "
                "cells. Leave it out, or name one GPU in training.GPU."
            )
        self.compile(optimizer=optimizer, jit_compile=jit_compile)
        self.objective = objective
        self.term_means = [keras.metrics.Mean(name=f"{name}_loss") for name in objective.weights]

    @property
    def metrics(self) -> list[Any]:
        """The total loss and one mean per term; reset at the start of every epoch."""
        found = super().metrics
        known = {id(metric) for metric in found}
        return found + [metric for metric in getattr(self, "term_means", []) if id(metric) not in known]

    def train_step(self, data: Any) -> Any:
        """Take one step on a minibatch, or on the share of it that one of several devices holds."""
        with own_cells(data) as cells:
            return super().train_step(cells)

    def test_step(self, data: Any) -> Any:
        """Record the terms of a minibatch, or of the share of it that one of several devices holds."""
        with own_cells(data) as cells, values_only():
            return super().test_step(cells)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the total loss of one minibatch and record every term."""
        terms = self.objective.terms(x, y, y_pred)
        n_cells = ops.shape(next(iter(x.values())) if isinstance(x, Mapping) else x)[0]
        regularization = ops.sum(ops.stack(self.losses)) if self.losses else ops.zeros(())
        means = [ops.mean(terms[name]) for name in self.objective.weights]
        total, *means = means_over_minibatch([regularization, *means])
        # One step on a loss that is not finite breaks every weight: after it the means stand still, so that they tell
        # which term broke first, and their number of cells in which minibatch.
        means_so_far = [metric for metric in self.metrics if isinstance(metric, keras.metrics.Mean)]
        intact = ops.all(ops.stack([ops.isfinite(metric.total) for metric in means_so_far]))
        n_counted = ops.where(intact, n_cells, 0)
        for metric, weight, mean in zip(self.term_means, self.objective.weights.values(), means, strict=True):
            metric.update_state(ops.where(intact, mean, 0.0), sample_weight=n_counted)
            total = total + weight * mean
        return part_of_replica(total)
