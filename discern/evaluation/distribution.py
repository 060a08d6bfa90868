"""How far two sets of cells lie apart: kernel MMD, and a classifier that tries to tell them apart."""

import numpy as np

from discern.errors import DataError, ShapeError
from discern.mmd import mmd_loss

N_FOLDS = 5
_N_TREES = 100
_DEPTH = 3
_SMALLEST_LEAF = 0.1  # of the cells that a tree sees
_LARGEST_SEED = 2**31


def maximal_mmd(cells: np.ndarray, others: np.ndarray, kernel_width: float) -> float:
    """Return the largest unbiased MMD² over 23 scales in [0.8, 1.5] of the kernel width; 0 is best.

    Two sets of the same distribution give values around 0, slightly negative ones too.

    Args:
        cells: One set, (n_cells, n_components), at least two rows.
        others: The other set, (n_other_cells, n_components), at least two rows.
        kernel_width: Squared width, > 0: what ``process`` stores (``config["mmd_kernel"]["all"]``).

    Raises:
        ShapeError: A set has fewer than two rows, or the columns differ.
        DataError: The width is not positive, or a value is not finite.
    """
    return mmd_loss(cells, others, kernel_width)


def classifier_auc(cells: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> float:
    """Return how well a random forest tells the two sets apart: 0.5 is best, 1 means that no cell is mistaken.

    The area under the ROC curve of predicted probabilities, averaged over five folds that the forest did not see.

    Args:
        cells: One set, (n_cells, n_features), at least five rows.
        others: The other set, (n_other_cells, n_features), at least five rows.
        rng: Chooses the folds and grows the trees.

    Raises:
        ShapeError: The columns differ.
        DataError: A set has fewer cells than folds, or a value is not finite.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    features = np.concatenate(_checked(cells, others))
    is_other = np.repeat([0, 1], [len(cells), len(others)])
    folds_seed, forest_seed = (int(seed) for seed in rng.integers(_LARGEST_SEED, size=2))
    forest = RandomForestClassifier(
        _N_TREES, max_depth=_DEPTH, min_samples_leaf=_SMALLEST_LEAF, random_state=forest_seed
    )
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=folds_seed)
    return float(cross_val_score(forest, features, is_other, scoring="roc_auc", cv=folds).mean())


def _checked(cells: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if cells.ndim != 2 or others.ndim != 2 or cells.shape[1] != others.shape[1]:
        raise ShapeError(f"Both sets need the same features, (n_cells, n_features); got {cells.shape}, {others.shape}.")
    if min(len(cells), len(others)) < N_FOLDS:
        raise DataError(
            f"A classifier is judged on {N_FOLDS} folds, so each set needs at least {N_FOLDS} cells; received "
            f"{len(cells)} and {len(others)}. Give more cells, or leave out this comparison."
        )
    if not (np.isfinite(cells).all() and np.isfinite(others).all()):
        raise DataError("The cells to tell apart hold values that are not finite. Leave these cells out.")
    return cells, others
