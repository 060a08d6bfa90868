"""Published names of the training callbacks, handed on from :mod:`discern.training`."""

from discern.training.callbacks import create_callbacks
from discern.training.early_stopping import DelayedEarlyStopping
from discern.training.umap_callback import VisualisationCallback

__all__ = ["DelayedEarlyStopping", "VisualisationCallback", "create_callbacks"]
