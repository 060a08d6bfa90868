"""Estimates against real cells of the reference batch, type by type; no cell has a counterpart there.

All functions take the moments or the cells of both sides with the same codes of types. A type counts where both sides
have enough cells of it.
"""

from itertools import combinations

import numpy as np

from discern.evaluation.hidden_truth import mean_of_finite
from discern.evaluation.type_moments import TypeMoments, share_that_differs, type_moments, welch_t

FEWEST_CELLS = 20
N_TOP_GENES = 100
_CLEAR_T = 3.0
_N_CORRELATED_GENES = 200
_N_MEANS = 20
_SMALLEST_VARIANCE = 1e-6


def shared_types(estimate: TypeMoments, reference: TypeMoments) -> np.ndarray:
    """Return the codes of the types with enough cells on both sides, (n_shared,)."""
    return np.flatnonzero(np.minimum(estimate.n_cells, reference.n_cells) >= FEWEST_CELLS)


def type_mean_correlation(estimate: TypeMoments, reference: TypeMoments) -> float:
    """Return the mean over types of the correlation of mean expression, the reference's global mean taken from both.

    The global mean is that of the reference's types, each counting the same: a difference between batches that is left
    in the estimate lowers the correlation.
    """
    types = shared_types(estimate, reference)
    if len(types) < 2:
        return float("nan")
    overall = reference.mean[types].mean(axis=0)
    pairs = [(estimate.mean[one] - overall, reference.mean[one] - overall) for one in types]
    return mean_of_finite(np.array([_correlation(*pair) for pair in pairs]))


def differences_between_types(estimate: TypeMoments, reference: TypeMoments) -> dict[str, float]:
    """Return how differences between two types agree with the reference's, as means over all pairs of types.

    * ``fold_change_correlation``: correlation over genes of differences of mean log expression;
    * ``t_correlation``: the same of Welch's t statistics;
    * ``sign_agreement``: share of the genes with a t beyond ±3 in the reference that differ in its direction;
    * ``top_gene_overlap``: share of the reference's 100 genes of largest absolute t (a fifth of all, if fewer) found again.
    """
    names = ("fold_change_correlation", "t_correlation", "sign_agreement", "top_gene_overlap")
    found = [
        _agreement(_difference(estimate, *pair), _difference(reference, *pair))
        for pair in combinations(shared_types(estimate, reference), 2)
    ]
    columns = np.array(found).reshape(len(found), len(names)).T
    return {name: mean_of_finite(column) for name, column in zip(names, columns, strict=True)}


def _difference(moments: TypeMoments, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    change = moments.mean[first] - moments.mean[second]
    variances = (moments.variance[first], moments.variance[second])
    return change, welch_t(change, variances, (moments.n_cells[first], moments.n_cells[second]))[0]


def _agreement(
    estimate: tuple[np.ndarray, np.ndarray], reference: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float, float, float]:
    (change, t), (true_change, true_t) = estimate, reference
    known = np.isfinite(t) & np.isfinite(true_t)
    clear = np.abs(np.nan_to_num(true_t)) >= _CLEAR_T
    agreeing = (np.sign(change) == np.sign(true_change))[clear]
    return (
        _correlation(change, true_change),
        _correlation(t[known], true_t[known]),
        float(agreeing.mean()) if clear.any() and change.any() else float("nan"),
        _overlap(t, true_t) if known.any() else float("nan"),
    )


def _overlap(t: np.ndarray, true_t: np.ndarray) -> float:
    n_top = max(1, min(N_TOP_GENES, len(t) // 5))
    top = [set(np.argsort(-np.abs(np.nan_to_num(one)), kind="stable")[:n_top]) for one in (t, true_t)]
    return len(top[0] & top[1]) / n_top


def gene_gene_agreement(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Return how correlations between genes within one type agree: their correlation over pairs of genes.

    Taken are the 200 genes that vary most in the reference; pairs with a gene that does not vary are left out.

    Args:
        estimate: Expression of cells of one type, (n_cells, n_genes).
        reference: Real cells of that type, (n_reference, n_genes).
    """
    genes = np.argsort(-reference.var(axis=0, dtype=np.float64), kind="stable")[:_N_CORRELATED_GENES]
    first, second = (_gene_correlations(cells[:, genes]) for cells in (estimate, reference))
    known = np.isfinite(first) & np.isfinite(second)
    return _correlation(first[known], second[known])


def _gene_correlations(cells: np.ndarray) -> np.ndarray:
    """Return the correlations of all pairs of genes, (n_pairs,); NaN with a gene that does not vary."""
    centred = cells.astype(np.float64) - cells.mean(axis=0, dtype=np.float64)
    norms = np.sqrt((centred**2).sum(axis=0))
    varies = norms > 1e-6 * np.sqrt(len(cells))
    scaled = np.divide(centred, norms, out=np.full(centred.shape, np.nan), where=varies)
    return (scaled.T @ scaled)[np.triu_indices(scaled.shape[1], 1)]


def zero_fraction_error(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Return the mean over genes of the absolute difference between the shares of cells without expression.

    Args:
        estimate: Expression of cells of one type, (n_cells, n_genes), >= 0.
        reference: Real cells of that type, (n_reference, n_genes), >= 0.
    """
    return float(np.abs((estimate <= 0).mean(axis=0) - (reference <= 0).mean(axis=0)).mean())


def mean_variance_distance(estimate: TypeMoments, reference: TypeMoments, one: int) -> float:
    """Return how far the curves of variance by mean lie apart for one type, in powers of ten.

    Genes are put into 20 equal groups of the reference's means. The curve is the median log10 variance of the genes whose
    mean falls into a group; the distance is the mean over groups in which both sides have genes.
    """
    expressed = reference.mean[one] > 0
    if not expressed.any():
        return float("nan")
    bounds = np.quantile(reference.mean[one][expressed], np.linspace(0, 1, _N_MEANS + 1)[1:-1])
    curves = [_curve(moments.mean[one], moments.variance[one], bounds) for moments in (estimate, reference)]
    return mean_of_finite(np.abs(curves[0] - curves[1]))


def _curve(mean: np.ndarray, variance: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    group = np.where(mean > 0, np.searchsorted(bounds, mean, side="right"), -1)
    logs = np.log10(np.maximum(variance, _SMALLEST_VARIANCE))
    return np.array([np.median(logs[group == one]) if (group == one).any() else np.nan for one in range(_N_MEANS)])


def batch_differences(estimate: TypeMoments, reference: TypeMoments, one: int) -> float:
    """Return the share of genes that differ between estimates and real cells of one type (Welch's t, 5 % FDR)."""
    n_cells = (estimate.n_cells[one], reference.n_cells[one])
    variances = (estimate.variance[one], reference.variance[one])
    return share_that_differs(estimate.mean[one] - reference.mean[one], variances, n_cells)


def spurious_differences(cells: np.ndarray, rng: np.random.Generator) -> float:
    """Return the share of genes that differ between random halves of cells of one type (Welch's t, 5 % FDR).

    Args:
        cells: Expression of cells of one type, (n_cells, n_genes), at least four.
        rng: Chooses the halves.
    """
    order = rng.permutation(len(cells))
    half = np.zeros(len(cells), dtype=np.int64)
    half[order[: len(cells) // 2]] = 1
    moments = type_moments(cells, half, 2)
    first, second = moments.variance
    n_cells = (moments.n_cells[0], moments.n_cells[1])
    return share_that_differs(moments.mean[0] - moments.mean[1], (first, second), n_cells)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Pearson's correlation; NaN with fewer than three values, or where one side does not vary."""
    if len(first) < 3:
        return float("nan")
    a, b = first - first.mean(), second - second.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    rounding = 1e-12 * np.sqrt((first @ first) * (second @ second))
    return float(a @ b / norm) if norm > rounding else float("nan")
