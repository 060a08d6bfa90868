"""Which cells processed data and records hold, as one number."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from discern.keys import TRAIN, VALID


def cells_digest(names: Iterable[str], split: Any, n_counts: Any) -> str:
    """Return a digest of the cells in their order.

    Args:
        names: Names of the cells.
        split: Their parts, (n_cells,); other values than ``train`` and ``valid`` count as the same.
        n_counts: Their library sizes, (n_cells,).
    """
    digest = hashlib.sha256("\n".join(names).encode())
    values = np.asarray(split, dtype=object)
    digest.update(np.select([values == TRAIN, values == VALID], [1, 2], 0).astype("|u1").tobytes())
    digest.update(np.asarray(n_counts).astype("<f8").tobytes())
    return digest.hexdigest()
