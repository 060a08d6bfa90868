"""The reconstruction loss a configuration names."""

from collections.abc import Mapping
from typing import Any

import keras

from discern.errors import MissingParameterError
from discern.registry import RECONSTRUCTION_LOSSES


def reconstruction_loss(loss_type: str | Mapping[str, Any]) -> keras.losses.Loss:
    """Return the loss that ``loss_type`` describes.

    Args:
        loss_type: A name of ``registry.RECONSTRUCTION_LOSSES``, or ``{"name": name, **arguments}``; not changed.

    Raises:
        MissingParameterError: The mapping has no ``name``.
        UnknownNameError: The name is unknown (also a KeyError).
        ParametersError: The loss does not take one of the arguments, lacks one, or refuses a value.
    """
    if isinstance(loss_type, str):
        return RECONSTRUCTION_LOSSES.build(loss_type)
    if "name" not in loss_type:
        raise MissingParameterError(
            f"reconstruction_loss needs a 'name', received {dict(loss_type)}. "
            'Write it as {"name": "HuberLoss", "delta": 9.0}.'
        )
    arguments = {key: value for key, value in loss_type.items() if key != "name"}
    return RECONSTRUCTION_LOSSES.build(loss_type["name"], **arguments)
