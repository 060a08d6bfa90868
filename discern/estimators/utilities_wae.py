"""Published names for building and loading networks, handed on from their rooms."""

from discern.models.wae.networks import create_decoder, create_encoder, create_model
from discern.training.trained_model import load_model_from_directory

__all__ = ["create_decoder", "create_encoder", "create_model", "load_model_from_directory"]
