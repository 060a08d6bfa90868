"""The random draws of validation, which are those of no other part of training."""

from typing import Any

import keras
import numpy as np

from discern.training.checkpoints import random_states

_VALIDATION = 1  # tells these streams from whatever else is drawn from the same seed


class SameDrawsInValidation(keras.callbacks.Callback):
    """Let every validation draw the same random numbers.

    MMD++ compares the codes with random draws. With new ones in every epoch chance would help to choose the best
    weights. Training goes on with the draws it would have made
    without validation.
    """

    def __init__(self, seed: int) -> None:
        """Remember what to draw from.

        Args:
            seed: That of the training: a validation of the same weights gives the same losses in any run of it.
        """
        super().__init__()
        self._seed = seed
        self._of_training: list[np.ndarray] = []

    def on_test_begin(self, logs: Any = None) -> None:
        """Set the random streams back to the start of validation."""
        streams = random_states(self.model)
        self._of_training = [stream.numpy() for stream in streams]
        starts = np.random.SeedSequence((self._seed, _VALIDATION)).generate_state(2 * len(streams))
        for stream, start in zip(streams, starts.reshape(-1, 2), strict=True):
            stream.assign(start.astype(stream.dtype))

    def on_test_end(self, logs: Any = None) -> None:
        """Give training its streams back."""
        for stream, state in zip(random_states(self.model), self._of_training, strict=True):
            stream.assign(state)
