from dataclasses import replace

import pytest

from discern.evaluation.cautions import cautions
from discern.evaluation.neighbourhoods import Neighbourhood

GOOD = Neighbourhood(0.95, 0.55, 0.5)


@pytest.fixture
def shown(shown_of):
    """A function that returns shown cells with these neighbourhoods of latent codes and reconstructed cells."""

    def build(latent=GOOD, reconstructed=GOOD, spread=1.0):
        near = {"as measured": GOOD, "latent codes": latent, "reconstructed": reconstructed}
        return replace(shown_of(), neighbourhoods=near, spread=spread)

    return build


def kinds(found):
    return [one.kind for one in found]


def test_a_good_model_has_none(evaluation_of, shown):
    scores = {
        "fold_change_correlation": {"reconstructed": 0.9, "as measured": 0.8},
        "spurious_differences": {"reconstructed": 0.001, "as measured": 0.0},
    }
    assert cautions(evaluation_of(scores), shown()) == []
    assert cautions(evaluation_of({}), None) == []


def test_types_that_come_closer_are_over_mixed(evaluation_of, shown):
    found = cautions(evaluation_of({}), shown(reconstructed=Neighbourhood(0.6, 0.5, 0.5)))
    assert kinds(found) == ["Over-mixing"]
    assert "60% of a cell's neighbours are of its own type (reconstructed), 95% as measured" in found[0].text
    scores = {"fold_change_correlation": {"reconstructed": 0.5, "as measured": 0.8}}
    assert kinds(cautions(evaluation_of(scores), None)) == ["Over-mixing"]


def test_cells_that_became_alike_are_over_smoothed(evaluation_of, shown):
    assert kinds(cautions(evaluation_of({}), shown(spread=0.2))) == ["Over-smoothing"]
    assert kinds(cautions(evaluation_of({}), shown(spread=float("nan")))) == []
    scores = {"spurious_differences": {"reconstructed": 0.1, "as measured": 0.0}}
    assert kinds(cautions(evaluation_of(scores), shown())) == ["Over-smoothing"]


def test_variance_is_compared_with_averages_over_neighbours(evaluation_of):
    from discern.evaluation.table import Method

    for ours, expected in ((0.05, ["Over-smoothing"]), (0.2, [])):
        evaluation = evaluation_of({"variance_ratio": {"reconstructed": ours}})
        evaluation.scores["neighbours"] = {"variance_ratio": 0.3}
        evaluation = replace(evaluation, methods=[*evaluation.methods, Method("neighbours", "baseline", "")])
        assert kinds(cautions(evaluation, None)) == expected


def test_batches_that_stay_apart_in_the_latent_space(evaluation_of, shown):
    found = cautions(evaluation_of({}), shown(latent=Neighbourhood(0.95, 0.98, 0.5)))
    assert kinds(found) == ["Batches apart"]
