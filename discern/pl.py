"""Pictures as in scanpy: each function draws and shows, or with ``show=False`` returns Matplotlib axes."""

from discern.plotting.embedding import umap
from discern.plotting.losses import losses
from discern.plotting.zeros import zeros

__all__ = ["losses", "umap", "zeros"]
