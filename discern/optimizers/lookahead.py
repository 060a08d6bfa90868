"""Lookahead."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from discern.errors import ShapeError


@keras.saving.register_keras_serializable(package="discern")
class Lookahead(keras.optimizers.Optimizer):
    """Wraps an optimizer: every ``sync_period`` steps the weights go back part of the way to slow weights.

    The slow weights start as the weights before the first step. All state, the inner optimizer's too, is in
    ``variables``; ``iterations`` and ``learning_rate`` are the inner optimizer's.

    Args:
        optimizer: The inner optimizer. Clipping, weight decay and the like are set there.
        sync_period: Steps between two synchronisations, >= 1.
        slow_step_size: Share of the way from the slow to the fast weights that is kept, in (0, 1].
        name: Name of the optimizer.

    Source:
        Zhang et al. 2019, Lookahead Optimizer: k steps forward, 1 step back.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        sync_period: int = 6,
        slow_step_size: float = 0.5,
        name: str = "lookahead",
    ) -> None:
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = optimizer
        self.sync_period = sync_period
        self.slow_step_size = slow_step_size

    def build(self, variables: Sequence[Any]) -> None:
        """Create the slow weights of ``variables`` and the inner optimizer's state."""
        if self.built:
            return
        super().build(list(variables))
        self.slow_weights = [self.add_variable_from_reference(variable, name="slow") for variable in variables]
        self.inner_optimizer.build(list(variables))

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Take a step of the inner optimizer and synchronise when it is due."""
        if not self.built:
            self.build(list(trainable_variables or ()))
        before = ops.convert_to_tensor(self.inner_optimizer.iterations) + 0
        ops.cond(ops.equal(before, 0), self._start, _nothing)
        self.inner_optimizer.apply(grads, trainable_variables)
        after = ops.convert_to_tensor(self.inner_optimizer.iterations) + 0
        # With gradient accumulation the count stands still between two updates.
        due = ops.logical_and(ops.equal(after % self.sync_period, 0), ops.not_equal(after, before))
        ops.cond(due, self._synchronise, _nothing)

    def _pairs(self) -> zip:
        return zip(self._trainable_variables, self.slow_weights, strict=True)

    def _start(self) -> None:
        for variable, slow in self._pairs():
            slow.assign(variable)

    def _synchronise(self) -> None:
        for variable, slow in self._pairs():
            slow.assign_add(self.slow_step_size * (variable - slow))
            variable.assign(slow if variable.constraint is None else variable.constraint(slow))

    @property
    def variables(self) -> list[Any]:
        """The slow weights and the inner optimizer's variables."""
        return self._variables + self.inner_optimizer.variables

    @property
    def iterations(self) -> Any:
        """Number of updates so far."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """Learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    def scale_loss(self, loss: Any) -> Any:
        """Scale the loss as the inner optimizer asks for."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """Let the inner optimizer set the final weights."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def save_own_variables(self, store: Any) -> None:
        """Write the slow weights; Keras visits the inner optimizer by itself."""
        for index, variable in enumerate(self._variables):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Read the slow weights.

        Raises:
            ShapeError: The file holds another number of them.
        """
        if len(store.keys()) != len(self._variables):
            raise ShapeError(
                f"Optimizer '{self.name}' has {len(self._variables)} variables of its own, but the file holds "
                f"{len(store.keys())}. Build the optimizer on the model that was saved, then load."
            )
        for index, variable in enumerate(self._variables):
            variable.assign(store[str(index)])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "sync_period": self.sync_period,
            "slow_step_size": self.slow_step_size,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "Lookahead":
        """Return the optimizer of :meth:`get_config`."""
        inner = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects=custom_objects)
        return cls(**{**config, "optimizer": inner})


def _nothing() -> None:
    """The branch that does nothing."""
