"""What a report shows of single cells: a sample of them before and after decoding, and what that says of the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from discern.evaluation.baselines import smooth_within_batches
from discern.evaluation.component_space import N_COMPONENTS, leading_loadings
from discern.evaluation.marker_genes import MarkerGenes, marker_genes
from discern.evaluation.neighbourhoods import Neighbourhood, neighbourhood
from discern.evaluation.sampling import choose_genes, type_codes
from discern.evaluation.shared_genes import shared_genes
from discern.evaluation.shown_decoding import Decoding, decode
from discern.evaluation.type_moments import type_moments
from discern.io.processed_cells import ProcessedCells
from discern.keys import BATCH
from discern.models.contract import ModelFamily
from discern.umap_pictures import umap_coordinates

N_SHOWN = 2000
MEASURED_SPACE, LATENT_SPACE, RECONSTRUCTED_SPACE = "as measured", "latent codes", "reconstructed"
NO_TYPE = "no type"
_FEWEST = 10  # cells of a type and batch whose variance is looked at


@dataclass(frozen=True)
class ShownCells:
    """A sample of cells, at best half of it from the target batch.

    Attributes:
        target: The batch all cells are decoded into.
        batches: Batch of every cell, (n_cells,).
        types: Type of every cell, (n_cells,); None without labels.
        library_size: Counts of every cell, (n_cells,).
        normalised_to: What counts per cell are normalised to; None when they are not.
        coordinates: UMAP coordinates, (n_cells, 2), by the name of the space.
        neighbourhoods: What the neighbours of cells are, by the name of the space.
        decoding: Cells after decoding.
        spread: Median over genes of the variance of reconstructed cells within a type and batch, other than the target
            batch, as multiple of that of averages over 15 neighbours; NaN without such cells.
        markers: Marker genes of types; None without labels.
    """

    target: str
    batches: pd.Series
    types: pd.Series | None
    library_size: np.ndarray
    normalised_to: float | None
    coordinates: dict[str, np.ndarray]
    neighbourhoods: dict[str, Neighbourhood]
    decoding: Decoding
    spread: float
    markers: MarkerGenes | None


def shown_cells(
    family: ModelFamily, cells: ProcessedCells, target: str, labels: str | None, seed: int, n_cells: int = N_SHOWN
) -> ShownCells:
    """Choose cells and decode them into the target batch.

    Args:
        family: A trained family that can encode and decode.
        cells: The processed cells it was trained on.
        target: A batch of them.
        labels: obs column of cell types; None: there are none.
        seed: Chooses the cells and drives UMAP.
        n_cells: Cells to choose at most.

    Raises:
        DataError: The data sets of these cells share no gene.
    """
    names = cells.obs[BATCH].astype(str).to_numpy()
    positions = balanced_positions(names == target, n_cells, np.random.default_rng(seed))
    data = cells.at(positions)
    of_target = names[positions] == target
    expression = sparse.csr_matrix(data.X)
    genes = choose_genes(expression[of_target] if of_target.sum() > 1 else expression, shared_genes(cells, positions))
    decoding = decode(family, ProcessedCells.of(data), target, genes, of_target)
    measured = expression[:, genes].toarray().astype(np.float32, copy=False)
    codes, types = _types(data.obs, labels)
    batches = data.obs[BATCH].cat.codes.to_numpy(dtype=np.int64)
    spaces = {
        MEASURED_SPACE: _components(measured),
        LATENT_SPACE: decoding.latent,
        RECONSTRUCTED_SPACE: _components(decoding.expression),
    }
    markers = None
    if types is not None and len(types.cat.categories):
        markers = marker_genes(
            measured, decoding.expression, codes, list(types.cat.categories), of_target, data.var_names[genes]
        )
    return ShownCells(
        target,
        data.obs[BATCH].astype(str).astype("category"),
        types,
        np.asarray(cells.library_size)[positions],
        cells.transform.library_size,
        {name: umap_coordinates(points, seed) for name, points in spaces.items()},
        {name: neighbourhood(points, batches, codes) for name, points in spaces.items()},
        decoding,
        spread_within_types(
            decoding.expression[~of_target], measured[~of_target], codes[~of_target], batches[~of_target]
        ),
        markers,
    )


def balanced_positions(of_target: np.ndarray, n_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return the positions of random cells, ascending, at best half of them from the target batch.

    Args:
        of_target: Which cells are, bool (n_all_cells,).
        n_cells: How many at most.
        rng: Chooses.
    """
    inside, outside = np.flatnonzero(of_target), np.flatnonzero(~of_target)
    n_inside = min(len(inside), max(n_cells // 2, n_cells - len(outside)))
    n_outside = min(len(outside), n_cells - n_inside)
    chosen = [rng.choice(inside, n_inside, replace=False), rng.choice(outside, n_outside, replace=False)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def spread_within_types(
    reconstructed: np.ndarray, measured: np.ndarray, types: np.ndarray, batches: np.ndarray
) -> float:
    """Return how much reconstructed cells vary within a type, as multiple of averages over 15 neighbours.

    The noise of counting is in neither, so that a small number means that cells of a type were made alike. Cells of
    different batches are not pooled: what differs between batches is in the averages and not in the reconstruction.
    Taken is the median over genes, types and batches; cells without a type are one of their own when there are no types.

    Args:
        reconstructed: Log expression, (n_cells, n_genes).
        measured: The same cells as measured, same shape.
        types: Codes of their types, (n_cells,); below 0: none.
        batches: Codes of their batches, (n_cells,).

    Returns:
        The ratio; NaN where no type has ten cells of one batch or nothing varies.
    """
    groups, n_groups = _large_groups(np.zeros_like(types) if (types < 0).all() else types, batches)
    if not n_groups:
        return float("nan")
    smoothed = smooth_within_batches(measured, batches)
    before, after = (type_moments(one, groups, n_groups).variance for one in (smoothed, reconstructed))
    varies = before > 0
    ratios = after[varies] / before[varies]
    return float(np.median(ratios)) if ratios.size else float("nan")


def _large_groups(types: np.ndarray, batches: np.ndarray) -> tuple[np.ndarray, int]:
    """Return codes of type and batch together, (n_cells,), −1 for groups of fewer than ten cells; and their number."""
    pairs, groups = np.unique(np.stack([types, batches]), axis=1, return_inverse=True)
    groups = groups.ravel()
    large = (pairs[0] >= 0) & (np.bincount(groups, minlength=pairs.shape[1]) >= _FEWEST)
    codes = np.where(large, np.cumsum(large) - 1, -1)
    return codes[groups], int(large.sum())


def _types(obs: pd.DataFrame, labels: str | None) -> tuple[np.ndarray, pd.Series | None]:
    """Return codes, (n_cells,), and labels of the types with enough cells; −1 and no value for others."""
    if labels is None:
        return np.full(len(obs), -1), None
    codes, names = type_codes(obs[labels], [np.arange(len(obs))])
    return codes, pd.Series(pd.Categorical.from_codes(codes, names), index=obs.index)


def _components(expression: np.ndarray) -> np.ndarray:
    centred = expression - expression.mean(axis=0)
    return centred @ leading_loadings(centred, N_COMPONENTS)


def batch_sizes(batches: Sequence[str] | pd.Series) -> dict[str, int]:
    """Return how many cells every batch has, the largest first."""
    counts = pd.Series(list(batches)).value_counts()
    return {str(name): int(n) for name, n in counts.items()}
