"""Which cells processed data and records hold, as one number."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from discern.keys import TRAIN, VALID

_NAMES_AT_ONCE = 50_000


def cells_digest(names: Iterable[str], split: Any, n_counts: Any) -> str:
    """Return a digest of the cells in their order.

    Args:
        names: Names of the cells; few are held in memory at a time.
        split: Their parts, (n_cells,); other values than ``train`` and ``valid`` count as the same.
        n_counts: Their library sizes, (n_cells,).
    """
    digest = hashlib.sha256()
    for number, some in enumerate(_slices(iter(names))):
        digest.update(("\n" * (number > 0) + "\n".join(some)).encode())
    values = np.asarray(split, dtype=object)
    digest.update(np.select([values == TRAIN, values == VALID], [1, 2], 0).astype("|u1").tobytes())
    digest.update(np.asarray(n_counts).astype("<f8").tobytes())
    return digest.hexdigest()


def _slices(names: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(names, _NAMES_AT_ONCE)):
        yield some
