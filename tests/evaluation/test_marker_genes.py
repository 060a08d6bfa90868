import numpy as np
import pytest
from scipy.stats import ttest_ind

from discern.evaluation.marker_genes import marker_genes

N_CELLS, N_GENES = 240, 30


@pytest.fixture
def cells():
    """Three types and cells without one; genes 0-2 mark type 0, gene 7 marks type 2; reconstruction halves all."""
    rng = np.random.default_rng(0)
    types = np.arange(N_CELLS) % 4 - 1
    expression = rng.normal(3.0, 0.5, (N_CELLS, N_GENES))
    expression[types == 0, :3] += [3.0, 2.0, 1.0]
    expression[types == 2, 7] += 2.0
    return expression.astype(np.float32), types, np.arange(N_CELLS) % 3 > 0


def test_markers_are_those_of_a_t_test_in_real_target_cells(cells):
    expression, types, of_target = cells
    genes = [f"G{number}" for number in range(N_GENES)]
    found = marker_genes(expression, expression / 2, types, ["B", "T", "NK"], of_target, genes)
    table = found.table
    assert list(table.columns) == ["type", "gene", "real target cells", "as measured", "reconstructed"]
    assert list(table["gene"][table["type"] == "B"]) == ["G0", "G1", "G2"]
    for code, name in enumerate(["B", "T", "NK"]):
        rest = of_target & (types >= 0) & (types != code)
        t = ttest_ind(expression[of_target & (types == code)], expression[rest], equal_var=False).statistic
        assert list(table["gene"][table["type"] == name]) == [genes[gene] for gene in np.argsort(-t)[:3]]
    first = table.iloc[0]
    outside, rest = ~of_target & (types == 0), ~of_target & (types > 0)
    change = expression[outside, 0].mean() - expression[rest, 0].mean()
    assert (first["as measured"], first["reconstructed"]) == pytest.approx((change, change / 2), rel=1e-4)
    means = found.means["reconstructed"]
    assert list(means.index) == ["B", "T", "NK"]
    assert means.loc["NK", "G7"] == pytest.approx(expression[~of_target & (types == 2), 7].mean() / 2, rel=1e-4)


def test_too_few_cells_of_types_have_none(cells):
    expression, types, of_target = cells
    few = np.where(np.arange(N_CELLS) < 40, types, np.minimum(types, 0))
    assert marker_genes(expression, expression, few, ["B", "T", "NK"], of_target, list(range(N_GENES))) is None
