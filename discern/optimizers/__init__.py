"""Optimizers that Keras lacks, and the one function that builds an optimizer from its configuration."""
