import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from benchmarks.measuring import CommandFailedError
from benchmarks.quality import Comparison, summary, table, thinned_input, thinned_name
from discern.errors import ExperimentError, ParametersError
from discern.evaluation.table import Evaluation, Method
from discern.evaluation.thinning import HIDDEN
from discern.io.experiment_folder import ExperimentFolder


def evaluation(**scores):
    methods = [Method("reconstructed", "estimate", "."), Method("zeros drawn", "estimate", ".")]
    return Evaluation({}, methods, {"reconstructed": scores, "zeros drawn": {"zero_fraction_error": 0.5}}, [])


def test_the_table_weighs_gains_against_the_spread_of_seeds():
    old = [evaluation(cell_correlation=a, squared_error=b, variance_ratio=1.4) for a, b in ((0.50, 1.0), (0.54, 1.2))]
    new = [evaluation(cell_correlation=a, squared_error=b, variance_ratio=0.9) for a, b in ((0.51, 1.6), (0.52, 1.7))]
    found = table({"old": old, "new": new})
    assert found.loc["cell_correlation", "old"] == pytest.approx(0.52)
    assert found.loc["cell_correlation", "spread old"] == pytest.approx(0.04)
    assert dict(found["new is"]) == {
        "cell_correlation": "as good",  # lower by 0.005, and seeds differ by 0.04
        "squared_error": "worse",
        "variance_ratio": "better",  # 0.1 from the ideal instead of 0.4
        "zero_fraction_error": "as good",
    }
    drawn = {"zero_fraction_error": 0.5}
    other = [
        Evaluation({}, one.methods, {**one.scores, "zeros drawn": drawn | {"cell_correlation": 0.6}}, []) for one in new
    ]
    crossed = table({"old": old, "new": other}, "zeros drawn", "reconstructed")
    assert crossed.loc["cell_correlation", ["old", "new", "new is"]].to_list() == [pytest.approx(0.52), 0.6, "better"]
    assert summary(found) == "new is better on 1 of 4 measures, worse on squared_error"


def test_errors_in_opposite_directions_do_not_make_a_good_mean():
    old = [evaluation(variance_ratio=value) for value in (0.9, 0.9)]
    new = [evaluation(variance_ratio=value) for value in (0.2, 1.8)]
    found = table({"old": old, "new": new}).loc["variance_ratio"]
    assert found["new"] == pytest.approx(1.0)
    assert found["new is"] != "better"
    assert table({"new": new, "old": old}).loc["variance_ratio", "old is"] == "better"


def test_without_a_common_measure_the_table_is_empty():
    nothing = [Evaluation({}, [Method("reconstructed", "estimate", ".")], {"reconstructed": {}}, [])]
    found = table({"old": nothing, "new": nothing})
    assert found.empty and list(found.columns) == ["better", "old", "spread old", "new", "spread new"]
    assert summary(found) == "no measure has a finite value for all parameters and seeds"


@pytest.fixture
def arguments(tmp_path):
    """The arguments of one comparison of a few cells."""
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(5.0, (60, 8)).astype(np.float32))
    obs = pd.DataFrame({"batch": ["a", "b"] * 30, "kind": "x"}, index=[str(i) for i in range(60)])
    AnnData(counts, obs=obs).write_h5ad(tmp_path / "data.h5ad")
    content = {"experiments": {"any": {"input_ds": {"raw_input": [], "filtering": {"min_genes": 3}}, "training": {}}}}
    (tmp_path / "first.json").write_text(json.dumps(content))
    (tmp_path / "second.json").write_text(json.dumps(content))
    return Namespace(
        folder=tmp_path / "work",
        data=tmp_path / "data.h5ad",
        target="b",
        labels="kind",
        keep=0.2,
        cells=None,
        threads=0,
        parameters=[tmp_path / "first.json"],
    )


def test_parameter_files_of_one_name_are_refused(arguments, tmp_path):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "first.json"
    other.write_text("{}")
    arguments.parameters.append(other)
    with pytest.raises(ParametersError, match="1 name of --parameters is there more than once: first. Give each file"):
        Comparison(arguments)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"target": "a"}, "target"), ({"keep": 0.3}, "keep"), ({"cells": 20}, "cells"), ({"labels": "batch"}, "labels")],
)
def test_a_folder_of_other_settings_is_refused(arguments, change, named):
    before = Comparison(arguments).input.read_bytes()
    with pytest.raises(ExperimentError, match=rf"made with other settings: {named} \(.*Give another folder"):
        Comparison(Namespace(**{**vars(arguments), **change}))
    assert Comparison(arguments).input.read_bytes() == before


def test_a_folder_of_other_files_is_refused_and_others_can_be_added(arguments, tmp_path):
    Comparison(arguments)
    arguments.parameters = [tmp_path / "second.json"]
    Comparison(arguments)
    (tmp_path / "first.json").write_text("{}")
    Comparison(arguments)  # not asked for
    arguments.parameters.append(tmp_path / "first.json")
    with pytest.raises(ExperimentError, match="other settings: the content of first.json"):
        Comparison(arguments)
    arguments.parameters.pop()
    cells = anndata.read_h5ad(arguments.data)
    cells.X[0, 0] += 1
    cells.write_h5ad(arguments.data)
    with pytest.raises(ExperimentError, match="other settings: data_sha256"):
        Comparison(arguments)


def test_a_folder_without_settings_is_taken_as_it_is(arguments):
    input_file = Comparison(arguments).input
    (arguments.folder / "settings.json").unlink()
    first = input_file.stat().st_mtime_ns
    assert Comparison(arguments).input.stat().st_mtime_ns == first
    assert json.loads((arguments.folder / "settings.json").read_text())["keep"] == 0.2


def test_interrupted_writing_leaves_no_cells(arguments, monkeypatch):
    def write_half(self, path):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(AnnData, "write_h5ad", write_half)
    with pytest.raises(KeyboardInterrupt):
        Comparison(arguments)
    assert [path.name for path in arguments.folder.iterdir()] == ["settings.json"]


def test_work_goes_on_after_an_interrupted_training(arguments, monkeypatch):
    verbs = []

    def run(command, folder, log):
        verbs.append(command[3])
        if verbs == ["process"]:
            ExperimentFolder(folder).processed_file.parent.mkdir(parents=True)
            ExperimentFolder(folder).processed_file.touch()
        if verbs == ["process", "train"]:
            raise CommandFailedError("interrupted")
        return Namespace(seconds=1.0)

    monkeypatch.setattr("benchmarks.quality.measure", run)
    monkeypatch.setattr(
        Comparison,
        "_score",
        lambda self, experiment, seconds: replace(evaluation(mmd=0.1), facts={"training_seconds": seconds}),
    )
    comparison = Comparison(arguments)
    with pytest.raises(CommandFailedError):
        comparison.run(arguments.parameters[0], 0)
    assert comparison.run(arguments.parameters[0], 0).facts == {"training_seconds": None}  # of a part only
    assert verbs == ["process", "train", "train"]
    assert comparison.run(arguments.parameters[0], 0).value("reconstructed", "mmd") == 0.1
    assert verbs == ["process", "train", "train"]


def test_half_of_the_target_is_thinned():
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(5.0, (60, 8)).astype(np.float32))
    obs = pd.DataFrame({"batch": ["a", "b"] * 30, "kind": "x"}, index=[str(i) for i in range(60)])
    made = thinned_input(AnnData(counts, obs=obs), "b", "kind", 0.2, None)
    assert made.obs["batch"].value_counts().to_dict() == {"a": 30, "b": 15, thinned_name("b"): 15}
    is_thinned = (made.obs["batch"] == thinned_name("b")).to_numpy()
    np.testing.assert_array_equal((made.X + made.layers[HIDDEN]).toarray(), counts.toarray())
    assert made.layers[HIDDEN][~is_thinned].nnz == 0
    assert made.X[is_thinned].sum() / counts[is_thinned].sum() == pytest.approx(0.2, abs=0.05)
    assert thinned_input(AnnData(counts, obs=obs), "b", "kind", 0.2, 20).n_obs == 20
