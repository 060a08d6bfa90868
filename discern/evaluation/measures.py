"""Every measure of an evaluation, once: what it says, which way is better, what it can be, where it comes from."""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

N_DRAWS = 10  # choices of cells; of one alone the adjusted Rand index varies by 0.06, more than models differ
HIDDEN_TRUTH = "hidden truth"
REFERENCE = "against the reference batch"
DISTRIBUTION = "distribution"
INTEGRATION = "integration"
INTEGRATION_LATENT = "integration of latent codes"


@dataclass(frozen=True)
class Measure:
    """One row of the table.

    Attributes:
        name: Its name, unique.
        group: Rows that belong together.
        better: Which way is better; ``near``: nearer to the ideal.
        lowest: Smallest possible value.
        highest: Largest possible value.
        ideal: What a perfect estimate has.
        meaning: One sentence.
        source: Where the measure comes from.
    """

    name: str
    group: str
    better: Literal["higher", "lower", "near"]
    lowest: float
    highest: float
    ideal: float
    meaning: str
    source: str

    def badness(self, value: float) -> float:
        """Return how far a value is from good; smaller is better, infinite for a value that is not finite."""
        if not isfinite(value):
            return inf
        return {"higher": -value, "lower": value, "near": abs(value - self.ideal)}[self.better]


_PAPER = "Hausmann et al. 2023, Genome Biology 24:212"
_SCIB = "Luecken et al. 2022, Nature Methods 19:41"
_SCIB_SOURCES = {"bras": "Rautenstrauch and Ohler 2025, Nature Biotechnology, doi:10.1038/s41587-025-02743-4"}


def _correlation(name: str, group: str, meaning: str) -> Measure:
    return Measure(name, group, "higher", -1.0, 1.0, 1.0, meaning, _PAPER)


def _share(name: str, group: str, better: Literal["higher", "lower"], meaning: str, source: str) -> Measure:
    return Measure(name, group, better, 0.0, 1.0, 1.0 if better == "higher" else 0.0, meaning, source)


def _distances(what: str, classified: str, suffix: str) -> tuple[Measure, Measure]:
    return (
        Measure(
            f"mmd{suffix}", DISTRIBUTION, "lower", -2.0, 2.0, 0.0,
            f"Kernel MMD between estimates and real target cells, {what}; around 0 when they are alike.",
            "Gretton et al. 2012, Journal of Machine Learning Research 13:723",
        ),
        Measure(
            f"classifier_auc{suffix}", DISTRIBUTION, "near", 0.0, 1.0, 0.5,
            f"How well a random forest tells estimates from real target cells, {classified}; 0.5 when it cannot.", _PAPER,
        ),
    )  # fmt: skip


_SCIB_MEASURES = {
    "ari": (-1.0, "Clusters found by k-means agree with the cell types (adjusted Rand index)."),
    "nmi": (0.0, "Clusters found by k-means tell the cell types (normalised mutual information)."),
    "silhouette_types": (0.0, "Cells lie nearer to their own type than to others."),
    "bras": (
        0.0,
        "Within a type, cells lie no nearer to their own batch than to all others (batch removal adapted silhouette).",
    ),
    "ilisi": (0.0, "Neighbourhoods hold several batches."),
    "clisi": (0.0, "Neighbourhoods hold one cell type."),
    "kbet": (0.0, "Share of cells whose neighbours have the batches of their type."),
    "graph_connectivity": (0.0, "Cells of a type hang together in the graph of neighbours."),
}


def _integration(group: str, suffix: str, where: str) -> tuple[Measure, ...]:
    def full(name: str, meaning: str) -> str:
        return f"{meaning[:-1]}, {where}" + ("." if name == "kbet" else f"; mean over {N_DRAWS} choices of cells.")

    return tuple(
        Measure(name + suffix, group, "higher", lowest, 1.0, 1.0, full(name, meaning), _SCIB_SOURCES.get(name, _SCIB))
        for name, (lowest, meaning) in _SCIB_MEASURES.items()
    )


_ALL = (
    _correlation(
        "gene_correlation", HIDDEN_TRUTH, "Mean over genes of the correlation over cells with counts taken away."
    ),
    _correlation(
        "cell_correlation", HIDDEN_TRUTH,
        "Mean over cells of the correlation over genes with counts taken away, each gene's mean removed.",
    ),
    Measure(
        "squared_error", HIDDEN_TRUTH, "lower", 0.0, inf, 0.0,
        "Mean squared error of log expression; the truth has its own noise of counting.", "defined here",
    ),
    Measure(
        "variance_ratio", HIDDEN_TRUTH, "near", 0.0, inf, 1.0,
        "Median over genes of the estimate's variance over the truth's; well below 1 is over-smoothed.",
        "defined here",
    ),
    _correlation(
        "type_mean_correlation", REFERENCE,
        "Mean expression of each type against that in the reference, the reference's global mean removed from both.",
    ),
    _correlation(
        "fold_change_correlation", REFERENCE, "Log fold changes between two types against the reference's."
    ),
    _correlation("t_correlation", REFERENCE, "t statistics between two types against the reference's."),
    _share(
        "sign_agreement", REFERENCE, "higher",
        "Genes that clearly differ between two types in the reference differ in the same direction.", "defined here",
    ),
    _share(
        "top_gene_overlap", REFERENCE, "higher",
        "The reference's 100 genes that differ most between two types are found again.", "defined here",
    ),
    _correlation(
        "gene_gene_correlation", REFERENCE, "Correlations between genes within a type against the reference's."
    ),
    _share(
        "zero_fraction_error", REFERENCE, "lower",
        "Mean over genes of the difference between shares of cells without expression, within a type.",
        "defined here",
    ),
    Measure(
        "mean_variance_distance", REFERENCE, "lower", 0.0, inf, 0.0,
        "Distance between the curves of variance by mean, within a type, in powers of ten.", "defined here",
    ),
    _share(
        "batch_differences", REFERENCE, "lower",
        "Share of genes that differ between estimates and real cells of one type (Welch's t, 5 % FDR).",
        "Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57:289",
    ),
    _share(
        "spurious_differences", REFERENCE, "lower",
        "Share of genes that differ between random halves of one type (Welch's t, 5 % FDR).",
        "Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57:289",
    ),
    *_distances("within a type", "within each of the five largest types", ""),
    *_distances(*2 * ("all cells together; other shares of types count as well",), "_all_cells"),
    *_integration(INTEGRATION, "", "in principal components of estimates, the target's cells among them"),
    *_integration(INTEGRATION_LATENT, "_latent", "in the latent space"),
)  # fmt: skip

MEASURES = {measure.name: measure for measure in _ALL}
EMBEDDING_MEASURES = tuple(_SCIB_MEASURES)
