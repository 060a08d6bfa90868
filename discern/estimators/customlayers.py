"""Published names of layers and penalties, handed on from :mod:`discern.layers`."""

from discern import functions
from discern.layers.mmdpp import MMDPP, mmdpp_penalty
from discern.layers.normalisation import condlayernorm
from discern.layers.reparametrisation import GaussianReparametrization
from discern.layers.sigma import SigmaRegularization

__all__ = ["GaussianReparametrization", "MMDPP", "SigmaRegularization", "condlayernorm", "getmembers", "mmdpp_penalty"]


def getmembers() -> dict[str, type]:
    """Return the layers of this module by name."""
    return functions.getmembers(__name__)
