import json
import math

import pandas as pd
import pytest

from discern.errors import ExperimentError
from discern.evaluation.table import Evaluation, Method, read_evaluation

METHODS = [
    Method("model", "estimate", "Of the model."),
    Method("measured", "baseline", "As it is."),
    Method("half", "ceiling", "Real cells."),
]
SCORES = {
    "model": {"classifier_auc": 0.61, "mmd": 0.2, "squared_error": 0.0},
    "measured": {"classifier_auc": 0.38, "mmd": 0.2, "squared_error": 0.5, "ari": math.nan},
    "half": {"classifier_auc": 0.5, "mmd": 0.0},
}


@pytest.fixture
def evaluation():
    return Evaluation({"target": "good"}, METHODS, SCORES, ["no labels"])


def test_rows_are_measures_in_their_order_and_ceilings_are_never_best(evaluation):
    frame = evaluation.frame()
    assert list(frame.index) == ["squared_error", "mmd", "classifier_auc"]
    assert list(frame["best"]) == ["model", "model; measured", "model"]
    assert list(frame.columns) == ["group", "better", "ideal", "best", "model", "measured", "half"]
    assert frame.loc["mmd", "half"] == 0
    assert pd.isna(frame.loc["squared_error", "half"])


def test_written_files_say_the_same(evaluation, tmp_path):
    paths = evaluation.write(tmp_path)
    assert [path.name for path in paths] == ["metrics.json", "metrics.csv"]
    pd.testing.assert_frame_equal(pd.read_csv(paths[1], index_col="measure"), evaluation.frame(), check_dtype=False)
    content = json.loads(paths[0].read_text())
    assert (content["target"], content["notes"]) == ("good", ["no labels"])
    first = content["measures"][0]
    assert (first["name"], first["highest"], first["best"]) == ("squared_error", None, ["model"])
    assert first["values"] == {"model": 0.0, "measured": 0.5, "half": None}
    again = read_evaluation(paths[0])
    pd.testing.assert_frame_equal(again.frame(), evaluation.frame())
    assert again.as_json() == content


def test_measures_without_declaration_are_a_mistake():
    with pytest.raises(KeyError, match="invented"):
        Evaluation({}, METHODS, {"model": {"invented": 1.0}}, []).measures()


def test_another_file_is_no_evaluation(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ExperimentError, match="holds no evaluation"):
        read_evaluation(tmp_path / "metrics.json")


def test_metrics_of_another_version_are_told_from_damaged_ones(evaluation, tmp_path):
    path = evaluation.write(tmp_path)[0]
    path.write_text(path.read_text().replace('"squared_error"', '"cubed_error"'))
    with pytest.raises(
        ExperimentError, match=r"metrics.json was written by another version .* cubed_error, .*evaluate"
    ):
        read_evaluation(path)


def test_one_value_alone_is_not_best():
    scores = {"model": {"mmd": 0.2}, "half": {"mmd": 0.0}}
    assert list(Evaluation({}, METHODS, scores, []).frame()["best"]) == [""]
