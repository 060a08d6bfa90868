"""Rectified Adam."""

import math
from typing import Any

import keras
from keras import ops

from discern.optimizers.fused_adam import apply_fused_adam, can_fuse


@keras.saving.register_keras_serializable(package="discern")
class RectifiedAdam(keras.optimizers.Optimizer):
    """Adam that does without the adaptive step while its variance estimate rests on too few steps.

    Behaves as the optimizer of the same name in TensorFlow Addons. Below ``sma_threshold`` (length of the simple
    moving average that the second moment stands for) the step is learning rate · first moment.

    Args:
        learning_rate: Step size, a float or a Keras schedule; the peak when there is a warm-up.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        epsilon: Added to the root of the second moment.
        weight_decay: Decoupled: each step also subtracts learning rate · weight_decay · weight (warm-up included).
        amsgrad: Use the largest second moment so far.
        sma_threshold: Length of the moving average from which the rectified adaptive step is used.
        total_steps: Steps of warm-up and linear decay together; 0 leaves the learning rate as it is.
        warmup_proportion: Share of ``total_steps`` in which the learning rate rises from 0.
        min_lr: Learning rate from ``total_steps`` on.
        degenerated_to_sgd: Take the steps that are not adaptive; they have the scale of the gradient, and where that is large
            they throw the weights far from where they started. When false the weights wait.
        name: Name of the optimizer.
        **kwargs: Arguments of every Keras optimizer.

    Source:
        Liu et al. 2020, On the Variance of the Adaptive Learning Rate and Beyond.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        sma_threshold: float = 5.0,
        total_steps: int = 0,
        warmup_proportion: float = 0.1,
        min_lr: float = 0.0,
        degenerated_to_sgd: bool = True,
        name: str = "rectified_adam",
        **kwargs: Any,
    ) -> None:
        # Keras' own weight decay would ignore the warm-up.
        super().__init__(learning_rate=learning_rate, weight_decay=None, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.decoupled_weight_decay = weight_decay or 0.0
        self.amsgrad = amsgrad
        self.sma_threshold = sma_threshold
        self.total_steps = total_steps
        self.warmup_proportion = warmup_proportion
        self.min_lr = min_lr
        self.degenerated_to_sgd = degenerated_to_sgd

    def build(self, variables: list[Any]) -> None:
        """Create the moments of ``variables``."""
        if self.built:
            return
        super().build(variables)
        self.first_moments = self.add_optimizer_variables(variables, "m")
        self.second_moments = self.add_optimizer_variables(variables, "v")
        if self.amsgrad:
            self.largest_second_moments = self.add_optimizer_variables(variables, "vhat")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its moments."""
        dtype = variable.dtype
        step = ops.cast(self.iterations + 1, "float32")
        rate = self._warmed_up(ops.cast(learning_rate, "float32"), step)
        rectification = self._rectification(step)
        adaptive = rectification > 0.0
        if not self.degenerated_to_sgd:
            rate = ops.where(adaptive, rate, 0.0)
        # −expm1(t · log β) is 1 − β^t without its cancellation
        correction_1 = -ops.expm1(step * math.log(self.beta_1)) if self.beta_1 > 0 else 1.0
        correction_2 = -ops.expm1(step * math.log(self.beta_2))
        scale = ops.where(adaptive, rate * rectification, rate) / correction_1

        index = self._get_variable_index(variable)
        if not self.amsgrad and not self.decoupled_weight_decay and can_fuse(gradient, variable):
            # √(v / c) + ε is (√v + ε √c) / √c with the correction c of the second moment
            root = ops.sqrt(correction_2)
            apply_fused_adam(
                variable,
                (self.first_moments[index], self.second_moments[index]),
                gradient,
                rate=ops.where(adaptive, scale * root, scale),
                adaptive=adaptive,
                betas=(self.beta_1, self.beta_2),
                epsilon=self.epsilon * root,
            )
            return
        scale, gradient = ops.cast(scale, dtype), ops.cast(gradient, dtype)
        first, second = self._update_moments(gradient, index)
        deviation = ops.sqrt(second * ops.cast(1.0 / correction_2, dtype)) + self.epsilon
        step_taken = scale * first / ops.where(adaptive, deviation, ops.ones_like(deviation))
        if self.decoupled_weight_decay and self._use_weight_decay(variable):
            step_taken = step_taken + ops.cast(rate * self.decoupled_weight_decay, dtype) * variable
        self.assign_sub(variable, step_taken)

    def _update_moments(self, gradient: Any, index: int) -> tuple[Any, Any]:
        first, second = self.first_moments[index], self.second_moments[index]
        self.assign_add(first, (gradient - first) * (1.0 - self.beta_1))
        self.assign_add(second, (ops.square(gradient) - second) * (1.0 - self.beta_2))
        if not self.amsgrad:
            return first, second
        largest = self.largest_second_moments[index]
        self.assign(largest, ops.maximum(largest, second))
        return first, largest

    def _rectification(self, step: Any) -> Any:
        """Return the factor r of the adaptive step, or 0 where the moving average is too short for one."""
        longest = 2.0 / (1.0 - self.beta_2) - 1.0
        log_power = step * math.log(self.beta_2)
        length = longest + 2.0 * step * ops.exp(log_power) / ops.expm1(log_power)
        ratio = (length - 4.0) / (longest - 4.0) * (length - 2.0) / (longest - 2.0) * longest / length
        usable = length >= self.sma_threshold
        return ops.where(usable, ops.sqrt(ops.maximum(ratio, 0.0)), 0.0)

    def _warmed_up(self, rate: Any, step: Any) -> Any:
        if self.total_steps <= 0:
            return rate
        warmup_steps = self.total_steps * self.warmup_proportion
        decay_steps = max(self.total_steps - warmup_steps, 1.0)
        rising = rate * step / max(warmup_steps, 1e-7)
        falling = rate + (self.min_lr - rate) * ops.minimum(step - warmup_steps, decay_steps) / decay_steps
        return ops.where(step <= warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        own = ("beta_1", "beta_2", "epsilon", "amsgrad", "sma_threshold", "total_steps", "warmup_proportion", "min_lr")
        config = {**super().get_config(), **{key: getattr(self, key) for key in (*own, "degenerated_to_sgd")}}
        return {**config, "weight_decay": self.decoupled_weight_decay}
