"""How much each hyperparameter matters for the objective, judged from the trials of a search."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from discern.tuning.search_space import SearchSpace

FEWEST_TRIALS = 5
_N_TREES = 300
_N_REPEATS = 20


def importances(
    space: SearchSpace, samples: Sequence[Mapping[str, Any]], values: Sequence[float], seed: int = 0
) -> dict[str, float] | None:
    """Return the share of every hyperparameter, summing to 1; None when the trials are too few or all alike.

    A random forest predicts the rank of the objective from the quantiles of the hyperparameters. The importance of one
    is how much worse it predicts after that one was shuffled among the trials. Ranks, since one trial that diverged
    would outweigh all others. Few trials give rough numbers.

    Args:
        space: What was varied.
        samples: Samples of the trials.
        values: Their objective; very large for trials that diverged.
        seed: Drives forest and shuffling.

    Source:
        Breiman 2001, Machine Learning 45:5.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    if len(samples) < FEWEST_TRIALS or len(set(values)) < 2:
        return None
    quantiles = np.array([[space.quantiles(sample)[name] for name in space.names] for sample in samples])
    ranks = rankdata(values)
    forest = RandomForestRegressor(_N_TREES, random_state=seed).fit(quantiles, ranks)
    found = permutation_importance(forest, quantiles, ranks, n_repeats=_N_REPEATS, random_state=seed)
    worth = np.maximum(found.importances_mean, 0.0)
    total = worth.sum()
    return dict(zip(space.names, (worth / total).tolist(), strict=True)) if total > 0 else None
