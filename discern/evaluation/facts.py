"""The facts of an evaluation in words."""

from typing import Any

FACTS = {
    "target": "Target batch",
    "labels": "Column of cell types",
    "types": "Cell types",
    "n_cells": "Cells of other batches",
    "n_reference_cells": "Real target cells compared with",
    "n_thinned_cells": "Thinned cells",
    "thin": "Share of counts kept in thinned cells",
    "n_genes": "Genes compared",
    "seed": "Seed",
    "version": "Version",
}


def in_words(value: Any) -> str:
    """Return a value of a JSON file as a reader expects it."""
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
