"""What trials are judged by besides the loss: cells projected to a batch against the real cells of that batch.

All measures compare cells in the space of the principal components of the processed file.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import h5py
import numpy as np
from anndata import AnnData
from anndata.io import read_elem
from scipy import sparse

from discern.errors import DataError, DivergenceError, ExperimentError
from discern.evaluation.distribution import N_FOLDS, classifier_auc, maximal_mmd
from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.io.processed_cells import ProcessedCells, open_own_cells
from discern.keys import BATCH, COUNTS, DISCERN, FOR_MMD, MEAN_SCALING, PCS, SPLIT, VALID, VAR_SCALING
from discern.models.contract import ModelFamily
from discern.preprocessing.principal_components import coordinates
from discern.projection.batch_labels import BatchLabels, own_labels
from discern.projection.decoding import decoded_slices, encoded_slices, slices_of_codes

MEASURES = ("mmd", "auc", "mmd_autoencoded", "auc_autoencoded")
DEFAULT_CELLS = 1000
_AUTOENCODED = "_autoencoded"
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordedSpace:
    """The principal components of processed data.

    Attributes:
        loadings: (n_genes, n_components).
        mean: Mean log expression of every gene, (n_genes,).
        std: Its standard deviation, > 0, (n_genes,).
        kernel_width: Squared width of the MMD kernel in this space.
    """

    loadings: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    kernel_width: float

    def points(self, expressions: Sequence[sparse.csr_matrix]) -> np.ndarray:
        """Return cells in this space, (n_cells, n_components), from pieces of log expression, (any, n_genes) each."""
        return coordinates(expressions, self.loadings, self.mean, self.std)

    @classmethod
    def of(cls, folder: ExperimentFolder, cells: ProcessedCells) -> "RecordedSpace":
        """Read the space that preprocessing recorded.

        Raises:
            ExperimentError: It recorded none.
        """
        width = cells.uns[DISCERN].get("mmd_kernel", {}).get("all")
        with h5py.File(folder.processed_file, "r") as file:
            loadings = read_elem(file["varm"][PCS]) if PCS in file.get("varm", {}) else None
        if loadings is None or width is None or not {MEAN_SCALING, VAR_SCALING} <= set(cells.var):
            raise ExperimentError(
                f"{folder.processed_file} lacks the principal components or the MMD kernel that mmd and auc need. "
                "Run `discern process --force`."
            )
        mean, std = (cells.var[column].to_numpy(np.float64) for column in (MEAN_SCALING, VAR_SCALING))
        return cls(np.asarray(loadings, dtype=np.float64), mean, std, float(width))


class ProjectionMeasures:
    """Cells that a trial projects, the same for all trials of a search.

    Attributes:
        targets: Batches that are projected to, one after the other.
    """

    def __init__(
        self,
        cells: DISCERNData,
        space: RecordedSpace,
        targets: Sequence[str],
        seed: int = 0,
        at_most: int = DEFAULT_CELLS,
    ):
        """Choose the cells.

        Args:
            cells: Cells to project and to compare with: X and counts.
            space: Where they are compared.
            targets: Batches to project to; each has at least five cells, and as many are left in the others.
            seed: Drives which cells are projected, the zeros that are drawn and the classifier.
            at_most: Cells of each of the two sets that are compared.
        """
        self.targets = tuple(targets)
        self._cells, self._space, self._seed, self._at_most = cells, space, seed, at_most

    def measure(self, family: ModelFamily, wanted: Collection[str]) -> dict[str, float]:
        """Return the wanted measures of a trained family, averaged over the targets.

        Args:
            family: A family that can encode and decode.
            wanted: Of :data:`MEASURES`. ``mmd`` and ``auc`` compare cells of all other batches, decoded into the target,
                with its own cells; the ``_autoencoded`` ones its own cells, decoded into it, with themselves.

        Raises:
            DivergenceError: Projected cells are not finite.
            DiscernError: The family cannot project.
        """
        if not wanted:
            return {}
        source = own_labels(self._cells, family.data.batches)
        latent = np.concatenate([piece.latent.mean for piece in encoded_slices(family, self._cells, source)])
        values = [self._of_target(family, latent, target, wanted) for target in self.targets]
        return {name: float(np.mean([one[name] for one in values])) for name in MEASURES if name in wanted}

    def _of_target(
        self, family: ModelFamily, latent: np.ndarray, target: str, wanted: Collection[str]
    ) -> dict[str, float]:
        rng = np.random.default_rng(self._seed)
        is_own = (self._cells.obs[BATCH] == target).to_numpy()
        own, others = (_sample(np.flatnonzero(cells), self._at_most, rng) for cells in (is_own, ~is_own))
        real = self._space.points([self._cells.X[own]])
        values = {}
        for cells, ending in ((others, ""), (own, _AUTOENCODED)):
            names = [name for name in (f"mmd{ending}", f"auc{ending}") if name in wanted]
            if not names:
                continue
            decoded = self._decoded(family, latent[cells], target)
            for name in names:
                if name.startswith("mmd"):
                    values[name] = maximal_mmd(decoded, real, self._space.kernel_width)
                else:
                    values[name] = classifier_auc(decoded, real, np.random.default_rng(self._seed))
        return values

    def _decoded(self, family: ModelFamily, latent: np.ndarray, target: str) -> np.ndarray:
        label = np.eye(len(family.data.batches), dtype=np.float32)[family.data.batches.index(target)]
        pieces = decoded_slices(
            family,
            slices_of_codes(latent, self._cells.batch_size),
            BatchLabels.same_for_all(label, len(latent)),
            np.random.default_rng(self._seed),
        )
        points = self._space.points([piece.expression for piece in pieces])
        if not np.isfinite(points).all():
            raise DivergenceError(
                f"Cells projected to {target} hold values that are not finite. Lower training.optimizer.learning_rate."
            )
        return points


def read_measures(
    folder: ExperimentFolder,
    *,
    targets: Sequence[str] | None = None,
    batch_size: int,
    at_most: int = DEFAULT_CELLS,
    seed: int = 0,
) -> ProjectionMeasures:
    """Read the validation cells that preprocessing marked for MMD, a bounded number of each batch.

    Args:
        folder: The processed experiment.
        targets: Batches to project to; all with enough marked cells when None.
        batch_size: Cells per minibatch of projection.
        at_most: Cells of each batch.
        seed: Drives their choice.

    Raises:
        DataError: A target is unknown, or it or the other batches have too few marked cells.
        ExperimentError: Preprocessing recorded no principal components.
    """
    with open_own_cells(folder, batch_size) as cells:
        marked = _marked_cells(cells)
        chosen_targets = _targets(cells, marked, targets)
        rng = np.random.default_rng(seed)
        batch = cells.obs[BATCH].to_numpy()
        chosen = np.sort(np.concatenate([_sample(marked[batch[marked] == one], at_most, rng) for one in cells.batches]))
        space = RecordedSpace.of(folder, cells)
        data = _in_memory(cells, chosen)
    return ProjectionMeasures(data, space, chosen_targets, seed, at_most)


def _marked_cells(cells: ProcessedCells) -> np.ndarray:
    if FOR_MMD in cells.obs:
        return np.flatnonzero(cells.obs[FOR_MMD].to_numpy(dtype=bool))
    return np.flatnonzero((cells.obs[SPLIT] == VALID).to_numpy())


def _targets(cells: ProcessedCells, marked: np.ndarray, asked: Sequence[str] | None) -> list[str]:
    counts = cells.obs[BATCH].iloc[marked].value_counts()
    sizes = {name: int(counts.get(name, 0)) for name in cells.batches}
    unknown = [name for name in asked or () if name not in sizes]
    if unknown:
        raise DataError(
            f"train_spec.config.batch_to_check: '{unknown[0]}' is no batch of the data. Found: {', '.join(sizes)}."
        )
    fit = [name for name, size in sizes.items() if min(size, len(marked) - size) >= N_FOLDS]
    left_out = [name for name in (sizes if asked is None else asked) if name not in fit]
    if left_out and (asked is not None or not fit):
        told = ", ".join(f"{name} {sizes[name]}" for name in left_out)
        raise DataError(
            f"mmd and auc need at least {N_FOLDS} validation cells of a batch and of all others together; marked for it "
            f"are: {told}, of {len(marked)} in all. Raise input_ds.split.valid_cells and process again, name other "
            "batches in batch_to_check, or aim at 'loss'."
        )
    if left_out:
        _LOGGER.warning("Too few validation cells to measure mmd and auc on: %s. Left out.", ", ".join(left_out))
    return list(asked or fit)


def _sample(cells: np.ndarray, at_most: int, rng: np.random.Generator) -> np.ndarray:
    return cells if len(cells) <= at_most else np.sort(rng.choice(cells, at_most, replace=False))


def _in_memory(cells: ProcessedCells, chosen: np.ndarray) -> DISCERNData:
    expression, counts = (
        sparse.vstack([rows[slice(cell, cell + 1)] for cell in chosen], format="csr")
        for rows in (cells.expression, cells.counts)
    )
    adata = AnnData(
        expression, cells.obs.iloc[chosen].copy(), cells.var.copy(), dict(cells.uns), layers={COUNTS: counts}
    )
    adata.obs[BATCH] = adata.obs[BATCH].cat.set_categories(cells.batches)  # AnnData drops those without a cell
    return DISCERNData(adata, cells.batch_size)
