"""``uns["DISCERN"]``: what preprocessing tells everything that comes after it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from discern.keys import CELLS_ELSEWHERE


def plain(value: Any) -> Any:
    """Return plain Python types for what was read from HDF5 (NumPy scalars and arrays)."""
    if isinstance(value, Mapping):
        return {unquote(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(inner) for inner in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value


def storable(value: Any) -> Any:
    """Return the same content with keys that HDF5 can hold: "/" in a batch name would open a sub-group."""
    if isinstance(value, Mapping):
        return {quote(str(key), safe=" ()[]{}+,;:=@!$&'*~^<>|#?\"\\"): storable(inner) for key, inner in value.items()}
    return value


def library_size_normalisation(config: Mapping[str, Any]) -> float | None:
    """Return the library size cells were normalised to, None when they were not."""
    value = config.get("scale", {}).get("LSN")
    return None if value is None else float(value)


def n_train_cells_elsewhere(config: Mapping[str, Any]) -> int:
    """Return how many cells a model was trained on that are not here, as its reference was shared without them."""
    return int(config.get(CELLS_ELSEWHERE, {}).get("n_train_cells", 0))
