"""All measures of one estimate against real cells of the target batch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from discern.evaluation import against_reference as against
from discern.evaluation.component_space import ComponentSpace
from discern.evaluation.distribution import classifier_auc, maximal_mmd
from discern.evaluation.hidden_truth import mean_of_finite
from discern.evaluation.integration import balanced_cells, integration_scores
from discern.evaluation.measures import N_DRAWS
from discern.evaluation.type_moments import TypeMoments, type_moments

N_CLASSIFIED = 5  # types; growing forests takes most of the time
_CELLS_OF_A_TYPE = 500
_CELLS_IN_ALL = 1000


@dataclass(frozen=True)
class Cells:
    """Cells whose expression is known or estimated.

    Attributes:
        expression: Log expression, float32 (n_cells, n_genes).
        types: Codes of their types, int (n_cells,); below 0 for a cell that takes no part in rows by type.
        batches: Codes of their batches, int (n_cells,).
    """

    expression: np.ndarray
    types: np.ndarray
    batches: np.ndarray


@dataclass(frozen=True)
class Reference:
    """Real cells of the target batch, the other half of which baselines learn from.

    Attributes:
        cells: The cells.
        space: Components fitted to the target batch.
        n_types: Number of types.
    """

    cells: Cells
    space: ComponentSpace
    n_types: int

    @cached_property
    def moments(self) -> TypeMoments:
        """Moments of every type."""
        return type_moments(self.cells.expression, self.cells.types, self.n_types)

    @cached_property
    def points(self) -> np.ndarray:
        """The cells in the space of the components, (n_cells, n_components)."""
        return self.space.points(self.cells.expression)


def reference_scores(estimate: Cells, reference: Reference, seed: int) -> dict[str, float]:
    """Return the measures against the reference, as means over types; without types there are none.

    Args:
        estimate: Estimated cells, the same types.
        reference: Real cells.
        seed: Drives the random halves.
    """
    moments = type_moments(estimate.expression, estimate.types, reference.n_types)
    types = against.shared_types(moments, reference.moments)
    if not len(types):
        return {}
    rng = np.random.default_rng(seed)
    scores = {"type_mean_correlation": against.type_mean_correlation(moments, reference.moments)}
    scores |= against.differences_between_types(moments, reference.moments)
    found: dict[str, list[float]] = {}
    for one in types:
        cells = estimate.expression[estimate.types == one]
        real = reference.cells.expression[reference.cells.types == one]
        of_type = {
            "gene_gene_correlation": against.gene_gene_agreement(cells, real),
            "zero_fraction_error": against.zero_fraction_error(cells, real),
            "mean_variance_distance": against.mean_variance_distance(moments, reference.moments, one),
            "batch_differences": against.batch_differences(moments, reference.moments, one),
            "spurious_differences": against.spurious_differences(cells, rng),
        }
        for name, value in of_type.items():
            found.setdefault(name, []).append(value)
    return scores | {name: mean_of_finite(np.array(values)) for name, values in found.items()}


def distribution_scores(estimate: Cells, reference: Reference, seed: int) -> dict[str, float]:
    """Return MMD and classifier AUC against real cells, as means over types and for all cells together.

    Args:
        estimate: Estimated cells, the same types.
        reference: Real cells.
        seed: Drives the samples, folds and trees.
    """
    rng = np.random.default_rng(seed)
    width = reference.space.kernel_width
    points, real = reference.space.points(estimate.expression), reference.points
    all_cells = _some(points, _CELLS_IN_ALL, rng), _some(real, _CELLS_IN_ALL, rng)
    scores = {
        "mmd_all_cells": maximal_mmd(*all_cells, width),
        "classifier_auc_all_cells": classifier_auc(*all_cells, rng),
    }
    types = against.shared_types(type_moments(points, estimate.types, reference.n_types), reference.moments)
    if not len(types):
        return scores
    largest = types[np.argsort(-reference.moments.n_cells[types], kind="stable")]
    pairs = [
        (
            _some(points[estimate.types == one], _CELLS_OF_A_TYPE, rng),
            _some(real[reference.cells.types == one], _CELLS_OF_A_TYPE, rng),
        )
        for one in largest
    ]
    return scores | {
        "mmd": mean_of_finite(np.array([maximal_mmd(*pair, width) for pair in pairs])),
        "classifier_auc": mean_of_finite(np.array([classifier_auc(*pair, rng) for pair in pairs[:N_CLASSIFIED]])),
    }


def mixing_scores(
    points: np.ndarray, estimate: Cells, of_target: np.ndarray, reference: Reference, seed: int
) -> dict[str, float]:
    """Return the measures of integration in an embedding of the cells of other batches and of the target's.

    They are means over ``N_DRAWS`` choices of cells, but for kBET: that of the first.

    Args:
        points: Cells of other batches in the embedding, (n_cells, n_dimensions).
        estimate: Their types and batches.
        of_target: The target's cells in the embedding, (n_reference, n_dimensions).
        reference: Their types.
        seed: Chooses the cells and drives k-means.

    Raises:
        OptionalDependencyError: scib-metrics is not installed.
    """
    types, target_types = estimate.types, reference.cells.types
    rng = np.random.default_rng(seed)
    draws = []
    for draw in range(N_DRAWS):
        chosen, chosen_of_target = balanced_cells(types, target_types, rng)
        batches = np.concatenate([estimate.batches[chosen], np.full(len(chosen_of_target), estimate.batches.max() + 1)])
        draws.append(
            integration_scores(
                np.concatenate([points[chosen], of_target[chosen_of_target]]),
                np.unique(batches, return_inverse=True)[1],
                np.concatenate([types[chosen], target_types[chosen_of_target]]),
                seed,
                draw == 0,
            )
        )
    return {name: mean_of_finite(np.array([scores[name] for scores in draws if name in scores])) for name in draws[0]}


def _some(points: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    return points if len(points) <= size else points[rng.choice(len(points), size, replace=False)]
