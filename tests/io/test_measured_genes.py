"""Which genes were measured in which cells, from the table of processed data."""

import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError
from discern.io.measured_genes import GenePanels, panels_without

GENES = pd.Index(["a", "b", "c", "d"])
OBS = pd.DataFrame({"dataset": pd.Categorical(["one", "two", "three", "two", "one"])})


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({name: np.array([*values], dtype="U1") == "1" for name, values in columns.items()}, GENES)


def test_every_cell_has_the_genes_of_its_data_set():
    panels = GenePanels.of(OBS, table(two="1010", three="0111"), GENES)
    expected = np.ones((5, 4), dtype=bool)
    for cell, dataset in enumerate(OBS["dataset"]):
        for gene in range(4):
            expected[cell, gene] = (dataset, gene) not in {("two", 1), ("two", 3), ("three", 0)}
    np.testing.assert_array_equal(panels.measured(slice(None)), expected)
    np.testing.assert_array_equal(panels.measured(np.array([3, 0])), expected[[3, 0]])
    np.testing.assert_array_equal(panels.of_cells(slice(2, 5)).measured(slice(1, 3)), expected[3:])
    assert panels.panels[0].all()
    assert panels.codes.dtype == np.int64
    assert panels.unmeasured == [[1, 3], [0]]


def test_names_of_data_sets_are_text_whatever_their_type():
    obs = pd.DataFrame({"dataset": [7, 8, 7]})
    lacking = pd.DataFrame({7: [True, False, True, True]}, GENES)
    np.testing.assert_array_equal(GenePanels.of(obs, lacking, GENES).codes, [1, 0, 1])


@pytest.mark.parametrize("columns", [None, {}, {"two": "1111"}, {"elsewhere": "0000"}])
def test_where_everything_was_measured_there_are_no_panels(columns):
    assert GenePanels.of(OBS, None if columns is None else table(**columns), GENES) is None


def test_data_sets_without_cells_have_no_panel():
    assert GenePanels.of(OBS.iloc[[0, 1]], table(three="0111", two="1110"), GENES).unmeasured == [[3]]
    assert GenePanels.of(OBS.iloc[:0], table(two="0111"), GENES) is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.ones((4, 1), dtype=bool), "is no table of genes by data sets but ndarray"),
        (table(two="1010").iloc[:3], "has other genes than var, or in another order: 3 against 4"),
        (table(two="1010").iloc[::-1], "has other genes than var, or in another order"),
        (table(two="1010").astype(float), "holds something else than true and false in two"),
        (table(two="1010", one="1111").astype({"one": object}), "holds something else than true and false in one"),
    ],
)
def test_tables_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(DataError, match=message):
        GenePanels.of(OBS, wrong, GENES)


def test_cells_that_do_not_tell_their_data_set_are_refused():
    with pytest.raises(DataError, match="obs has no column 'dataset'. Found: batch"):
        GenePanels.of(pd.DataFrame({"batch": ["x"]}), table(two="1010"), GENES)


def test_panels_come_back_from_the_genes_they_lack():
    panels = GenePanels.of(OBS, table(two="1010", three="0111"), GENES)
    np.testing.assert_array_equal(panels_without(panels.unmeasured, 4), panels.panels)
    assert panels_without([], 4) is None


@pytest.mark.parametrize("genes", [[4], [-1], [2, 1], [1, 1], [True], ["1"], [1.0], 3])
def test_numbers_that_are_no_genes_are_refused(genes):
    with pytest.raises((ValueError, TypeError)):
        panels_without([genes], 4)
