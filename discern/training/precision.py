"""In which number format a network multiplies: ``training.precision``.

Only the wide matrix products run in half precision. Weights, their updates, everything between two products, the latent
code, the losses and MMD++ are in float32, so a checkpoint fits every precision, and projection computes in float32.
"""

from contextlib import AbstractContextManager

import keras

from discern.layers.dense import products_in
from discern.optimizers.loss_scaling import ScaledLoss
from discern.training.config import Precision

_HALF = "mixed_"
_FIRST_SCALE = 16.0  # the weights of the terms, about 1e4, scale the loss already; Keras' 2^15 costs a dozen steps


def computing_in(precision: Precision) -> AbstractContextManager[None]:
    """Let the families built here multiply in this format; afterwards new ones are as before.

    Args:
        precision: ``float32``, or the format of the products behind ``mixed_``.
    """
    return products_in(precision.removeprefix(_HALF) if precision.startswith(_HALF) else None)


def optimizer_for(precision: Precision, optimizer: keras.Optimizer) -> keras.Optimizer:
    """Return the optimizer that trains in this format; float16 needs a scaled loss.

    float16 holds no number above 65,504 and few below 6e-8. The loss is multiplied by a factor and the gradients are
    divided by it; a step whose gradients are not finite is left out and halves the factor.

    Args:
        precision: What the family was built in.
        optimizer: What updates the weights.
    """
    if precision != "mixed_float16" or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return ScaledLoss(optimizer, initial_scale=_FIRST_SCALE, name="scaled_loss")
