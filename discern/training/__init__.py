"""Fitting a model family: the loop, callbacks, checkpoints and devices."""
