"""What a projected file holds beside the latent codes."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from discern.errors import DataError
from discern.keys import ESTIMATED_COUNTS, ESTIMATED_DROPOUTS, POSTERIOR_COUNTS

LAYERS = (ESTIMATED_COUNTS, ESTIMATED_DROPOUTS, POSTERIOR_COUNTS)
NO_LAYERS = "none"
DTYPES = ("float32", "float16")
_NAMED = 5


@dataclass(frozen=True)
class ProjectedContent:
    """What is written of projected cells.

    Attributes:
        layers: Names of the layers; all that can be had when None.
        genes: Genes of X and layers, in this order; all when None. ``raw`` always holds all.
        dtype: Type of the layers; X and latent codes are float32, as scipy has no sparse matrices of float16.
        raw: Keep the input as ``raw``.
        latent_only: Write latent codes only; nothing is decoded.
        model_sha256: SHA-256 of the file the model was read from, for the record; empty when there is none.
    """

    layers: tuple[str, ...] | None = None
    genes: tuple[str, ...] | None = None
    dtype: str = DTYPES[0]
    raw: bool = True
    latent_only: bool = False
    model_sha256: str = ""

    def holds(self, layer: str) -> bool:
        """Return whether a layer is written where it can be had."""
        return not self.latent_only and (self.layers is None or layer in self.layers)

    def as_layer(self, values: np.ndarray) -> np.ndarray:
        """Return the values of one layer in the type they are written in.

        Raises:
            DataError: A value is too large for the type, or not finite.
        """
        largest = values.max(initial=0.0)  # NaN where any value is
        if not np.isfinite(largest):
            raise DataError(
                f"The model gives estimates of {largest}. Train it anew with a lower training.optimizer.learning_rate, and look "
                "whether these cells are like those it was trained on."
            )
        if largest > np.finfo(self.dtype).max:
            raise DataError(f"An estimate of {largest:.4g} does not fit into {self.dtype}. Write float32 instead.")
        return values.astype(self.dtype, copy=False)


def parse_layers(text: str) -> tuple[str, ...]:
    """Read names of layers separated by commas, or ``none``.

    Raises:
        DataError: A name is none of the layers.
    """
    names = [name.strip() for name in text.split(",")]
    if names == [NO_LAYERS]:
        return ()
    unknown = [name for name in names if name not in LAYERS]
    if unknown:
        raise DataError(
            f"'{unknown[0]}' is no layer of projected cells. Give one or more of {', '.join(LAYERS)}, separated by "
            f"commas, or {NO_LAYERS}; received '{text}'."
        )
    return tuple(name for name in LAYERS if name in names)


def read_gene_list(path: Path) -> tuple[str, ...]:
    """Read gene names, one per line; empty lines and repetitions are left out.

    Raises:
        DataError: The file cannot be read, or names no gene.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list of genes, one name per line: {error}") from error
    genes = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not genes:
        raise DataError(f"{path} names no gene. Write one gene name per line.")
    return genes


def gene_positions(var_names: pd.Index, genes: Sequence[str]) -> np.ndarray:
    """Return where genes stand among those of the data, int64 (n_genes,).

    Raises:
        DataError: Some are not among them; the message names near ones.
    """
    positions = var_names.get_indexer(list(genes))
    unknown = [gene for gene, position in zip(genes, positions, strict=True) if position < 0]
    if unknown:
        named = "; ".join(_with_suggestion(gene, var_names) for gene in unknown[:_NAMED])
        more = f"; and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise DataError(
            f"{len(unknown)} of the {len(genes)} genes asked for are not among the {len(var_names)} of the data: "
            f"{named}{more}. Correct the names, or leave these genes out."
        )
    return positions.astype(np.int64)


def _with_suggestion(gene: str, var_names: pd.Index) -> str:
    """Return the name and, where there are some, near names; case does not matter for nearness."""
    by_lower_case = {name.lower(): name for name in var_names}
    near = difflib.get_close_matches(gene.lower(), by_lower_case, n=2, cutoff=0.75)
    return f"{gene} (did you mean {' or '.join(by_lower_case[name] for name in near)}?)" if near else gene
