"""Dispersion (variance / mean) of genes, normalised within bins of genes of similar mean.

Two flavours are in use: that of Cell Ranger (bins at percentiles, median and median absolute deviation) and that of
Seurat (bins of equal width, mean and standard deviation).
"""

from dataclasses import dataclass

import numpy as np

_NORMAL_MAD = 0.6744897501960817  # median absolute deviation of a standard normal variable
_PERCENTILES = np.arange(10, 105, 5)


@dataclass(frozen=True)
class GeneDispersion:
    """Dispersion of every gene.

    Attributes:
        mean: Mean expression, (n_genes,).
        dispersion: Variance / mean, (n_genes,).
        normalised: Dispersion relative to genes of similar mean, (n_genes,); NaN where a bin has no spread.
    """

    mean: np.ndarray
    dispersion: np.ndarray
    normalised: np.ndarray


def cell_ranger_dispersion(mean: np.ndarray, variance: np.ndarray) -> GeneDispersion:
    """Return |dispersion − median of the bin| / median absolute deviation of the bin.

    Args:
        mean: Mean of every gene, (n_genes,).
        variance: Sample variance of every gene, (n_genes,).

    Source:
        Zheng et al. 2017, Nature Communications 8:14049.
    """
    mean, dispersion = _dispersion(mean, variance)
    # Equal percentiles (many genes of one mean) would be bins of no width.
    bins = np.searchsorted(np.unique(np.percentile(mean, _PERCENTILES)), mean, side="left")
    normalised = np.empty_like(dispersion)
    for members in _members(bins):
        distance = np.abs(dispersion[members] - np.median(dispersion[members]))
        with np.errstate(divide="ignore", invalid="ignore"):
            normalised[members] = distance / (np.median(distance) / _NORMAL_MAD)
    return GeneDispersion(mean, dispersion, normalised)


def seurat_dispersion(mean: np.ndarray, variance: np.ndarray, n_bins: int = 20) -> GeneDispersion:
    """Return (dispersion − mean of the bin) / standard deviation of the bin; 1 for a gene alone in its bin.

    Args:
        mean: Mean of every gene, (n_genes,).
        variance: Sample variance of every gene, (n_genes,).
        n_bins: Number of bins of equal width between the lowest and the highest mean.

    Source:
        Satija et al. 2015, Nature Biotechnology 33:495.
    """
    mean, dispersion = _dispersion(mean, variance)
    inner_edges = np.linspace(mean.min(), mean.max(), n_bins + 1)[1:-1]
    bins = np.searchsorted(inner_edges, mean, side="left")
    normalised = np.ones_like(dispersion)
    for members in _members(bins):
        if len(members) > 1:
            centred = dispersion[members] - dispersion[members].mean()
            with np.errstate(divide="ignore", invalid="ignore"):
                normalised[members] = centred / dispersion[members].std(ddof=1)
    return GeneDispersion(mean, dispersion, normalised)


def most_dispersed(genes: GeneDispersion, n_top: int) -> np.ndarray:
    """Return the mask of the genes of highest normalised dispersion, (n_genes,); all when there are not more.

    The cut-off is rounded to float32 and compared with float64, as in the published program: one gene more or less
    than ``n_top`` may pass.
    """
    ranked = np.sort(genes.normalised[~np.isnan(genes.normalised)].astype(np.float32))[::-1]
    if len(genes.normalised) <= n_top:
        return np.ones(len(genes.normalised), dtype=bool)
    if len(ranked) < n_top:
        return ~np.isnan(genes.normalised)
    return genes.normalised >= np.float64(ranked[n_top - 1])


def highly_variable(
    genes: GeneDispersion, min_mean: float = 0.0125, max_mean: float = 3.0, min_dispersion: float = 0.5
) -> np.ndarray:
    """Return the mask of genes with a mean between the limits and a normalised dispersion above its limit."""
    normalised = np.nan_to_num(genes.normalised.astype(np.float32), nan=0.0, posinf=np.inf, neginf=-np.inf)
    within = (genes.mean > min_mean) & (genes.mean < max_mean)
    return within & (normalised > min_dispersion) & np.isfinite(normalised)


def _dispersion(mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = np.where(mean == 0, 1e-12, mean)
    return mean, variance / mean


def _members(bins: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(bins, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(bins[order])) + 1)
