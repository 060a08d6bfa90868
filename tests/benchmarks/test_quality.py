import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from benchmarks.quality import summary, table, thinned_input, thinned_name
from discern.evaluation.table import Evaluation, Method
from discern.evaluation.thinning import HIDDEN


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
