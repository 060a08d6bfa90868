import numpy as np
import pytest

from discern.evaluation import scoring
from discern.evaluation.component_space import fit_space
from discern.evaluation.measures import DISTRIBUTION, MEASURES, REFERENCE
from discern.evaluation.scoring import Cells, Reference, distribution_scores, mixing_scores, reference_scores

N_TYPES = 3


def cells(seed, shift=0.0, typed=True):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).gamma(2.0, 1.0, (N_TYPES, 40))
    types = np.tile(np.arange(N_TYPES), 30)
    counts = rng.poisson(3 * centres[types])
    expression = (np.log1p(counts) + shift * (np.arange(40) % 2)).astype(np.float32)
    return Cells(expression, types if typed else np.full(90, -1), rng.integers(0, 2, 90))


@pytest.fixture(scope="module")
def reference():
    real = cells(0)
    return Reference(real, fit_space(np.concatenate([real.expression, cells(1).expression])), N_TYPES)


def test_real_cells_are_nearly_perfect_and_a_batch_effect_is_not(reference):
    real, shifted = (
        reference_scores(one, reference, 0) | distribution_scores(one, reference, 0)
        for one in (cells(1), cells(2, shift=1.0))
    )
    declared = {name for name, measure in MEASURES.items() if measure.group in (REFERENCE, DISTRIBUTION)}
    assert set(real) == set(shifted) == declared
    for name in (
        "type_mean_correlation",
        "zero_fraction_error",
        "batch_differences",
        "mmd",
        "classifier_auc_all_cells",
    ):
        assert MEASURES[name].badness(real[name]) < MEASURES[name].badness(shifted[name])
    assert real["type_mean_correlation"] > 0.95
    assert real["classifier_auc"] == pytest.approx(0.5, abs=0.15)
    assert shifted["classifier_auc"] > 0.95
    assert shifted["batch_differences"] > 0.4


def test_values_lie_in_their_ranges(reference):
    for one in (cells(1), cells(2, shift=1.0)):
        for name, value in (reference_scores(one, reference, 0) | distribution_scores(one, reference, 0)).items():
            assert MEASURES[name].lowest <= value <= MEASURES[name].highest, name


def test_without_types_all_cells_are_compared(reference):
    untyped = cells(1, typed=False)
    assert reference_scores(untyped, reference, 0) == {}
    assert sorted(distribution_scores(untyped, reference, 0)) == ["classifier_auc_all_cells", "mmd_all_cells"]


@pytest.mark.slow
def test_scores_follow_the_seed(reference):
    first, again, other = (distribution_scores(cells(1), reference, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_embedded_cells_are_handed_on_with_their_batches_and_types(reference, monkeypatch):
    given = {}
    monkeypatch.setattr(
        scoring, "integration_scores", lambda *arguments: given.update(zip("pbts", arguments[:4], strict=True)) or {}
    )
    estimate = cells(1)
    points = np.arange(90.0)[:, None]
    mixing_scores(points, estimate, 1000 + points, reference, 7)
    assert given["s"] == 7
    assert len(given["p"]) == len(given["b"]) == len(given["t"]) == 2 * 20 * N_TYPES
    real = given["p"][:, 0] >= 1000
    assert (given["b"][real] == 2).all()
    np.testing.assert_array_equal(given["b"][~real], estimate.batches[given["p"][~real, 0].astype(int)])
    np.testing.assert_array_equal(given["t"], (given["p"][:, 0] % 1000 % 3).astype(int))


def test_measures_of_integration_are_means_over_several_choices_of_cells(reference, monkeypatch):
    seen = []

    def scores(points, batches, types, seed, with_kbet):
        seen.append(points[:, 0].astype(int))
        found = {"one": seen[-1][0], "never": np.nan, "once": 1 if len(seen) < 2 else np.nan}
        return found | ({"kbet": 0.5} if with_kbet else {})

    monkeypatch.setattr(scoring, "integration_scores", scores)
    points = np.arange(90.0)[:, None]
    found = mixing_scores(points, cells(1), 1000 + points, reference, 7)
    assert len(seen) == len({tuple(chosen) for chosen in seen}) == 10
    assert found["one"] == pytest.approx(np.mean([chosen[0] for chosen in seen]))
    assert np.isnan(found["never"])
    assert found["once"] == 1
    assert found["kbet"] == 0.5
