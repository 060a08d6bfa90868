import pytest

from discern.evaluation.measures import MEASURES
from discern.evaluation.measures_table import DRAWN, RECONSTRUCTED, count_marks, judged_method
from discern.evaluation.verdicts import AS_MEASURED, verdict


@pytest.mark.parametrize(
    ("measure", "ours", "measured", "combat", "mark"),
    [
        ("fold_change_correlation", 0.9, 0.7, 0.8, "pass"),
        ("fold_change_correlation", 0.795, 0.7, 0.8, "pass"),  # less than a hundredth below
        ("fold_change_correlation", 0.75, 0.7, 0.8, "warn"),
        ("fold_change_correlation", 0.6, 0.7, 0.8, "fail"),
        ("fold_change_correlation", 0.7, 0.75, 0.6, "fail"),
        ("mmd", 0.1, 0.3, 0.2, "pass"),
        ("mmd", 0.25, 0.3, 0.2, "warn"),
        ("mmd", 0.35, 0.3, 0.2, "fail"),
        ("mmd", 0.0003, 0.3, 0.0, "pass"),  # below the smallest difference that counts
        ("classifier_auc", 0.45, 0.9, 0.6, "pass"),
        ("classifier_auc", 0.3, 0.9, 0.6, "warn"),
        ("classifier_auc", 0.02, 0.9, 0.6, "fail"),
    ],
)
def test_marks_compare_with_baselines(evaluation_of, measure, ours, measured, combat, mark):
    scores = {measure: {"reconstructed": ours, "as measured": measured, "ComBat": combat, "half": 1.0}}
    found = verdict(evaluation_of(scores), MEASURES[measure], "reconstructed")
    assert found.mark == mark
    assert f"{ours:.3f}" in found.sentence
    assert {"pass": "best baseline", "warn": "ComBat, a baseline, is better", "fail": "worse than"}[
        mark
    ] in found.sentence


def test_without_anything_to_compare_with_there_is_no_mark(evaluation_of):
    measure = MEASURES["mmd"]
    assert verdict(evaluation_of({"mmd": {"reconstructed": 0.1, "half": 0.0}}), measure, "reconstructed") is None
    assert verdict(evaluation_of({"mmd": {"as measured": 0.1}}), measure, "reconstructed") is None
    found = verdict(evaluation_of({"mmd": {"reconstructed": 0.3, "ComBat": 0.1}}), measure, "reconstructed")
    assert found.mark == "warn"


def test_zeros_are_judged_by_the_estimate_that_has_some(evaluation_of):
    one = {"reconstructed": 0.9, "zeros drawn": 0.1, "as measured": 0.2}
    evaluation = evaluation_of({"zero_fraction_error": one, "mmd": one})
    judged = {name: judged_method(evaluation, MEASURES[name]) for name in ("zero_fraction_error", "mmd")}
    assert judged == {"zero_fraction_error": "zeros drawn", "mmd": "reconstructed"}
    assert count_marks(evaluation) == {"pass": 1, "warn": 0, "fail": 1}


def test_names_are_those_of_the_columns():
    from discern.evaluation import methods

    assert (methods.RECONSTRUCTED.name, methods.DRAWN.name, methods.AS_MEASURED.name) == (
        RECONSTRUCTED,
        DRAWN,
        AS_MEASURED,
    )
