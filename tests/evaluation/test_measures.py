import math

import pytest

from discern.evaluation.measures import MEASURES


@pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda measure: measure.name)
def test_every_measure_is_declared_whole(measure):
    assert measure.lowest <= measure.ideal <= measure.highest
    assert measure.meaning.endswith(".")
    assert measure.source
    if measure.better == "higher":
        assert measure.ideal == measure.highest
    if measure.better == "near":
        assert measure.lowest < measure.ideal < measure.highest


def test_names_are_unique_and_of_their_place():
    assert all(name == measure.name for name, measure in MEASURES.items())
    assert len(MEASURES) == 4 + 10 + 4 + 2 * 8


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [("gene_correlation", 0.5, -0.9), ("squared_error", 0.1, 0.2), ("classifier_auc", 0.4, 0.7), ("mmd", -0.1, 0.1)],
)
def test_badness_follows_the_direction(name, better, worse):
    measure = MEASURES[name]
    assert measure.badness(better) < measure.badness(worse) < measure.badness(math.nan) == math.inf
