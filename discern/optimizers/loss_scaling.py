"""Loss scaling, for gradients that pass through float16."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="discern")
class ScaledLoss(keras.optimizers.LossScaleOptimizer):
    """Keras' LossScaleOptimizer, which may be built more than once as every other optimizer may.

    Without it the second ``build`` would add a second scale, starting anew, and ``variables`` would grow.
    """

    def build(self, var_list: list[Any]) -> None:
        """Create the scale and the state of the inner optimizer."""
        if not self.built:
            super().build(var_list)
