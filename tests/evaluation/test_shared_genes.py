import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError
from discern.evaluation.shared_genes import left_out, shared_genes
from discern.io.processed_cells import ProcessedCells


@pytest.fixture
def cells_of():
    """A function that returns six cells of the data sets a, b and c with this table of measured genes."""

    def build(table):
        obs = pd.DataFrame({"dataset": pd.Categorical(list("aabbcc"))}, index=list("123456"))
        var = pd.DataFrame(index=[f"gene{number}" for number in range(5)])
        measured = None if table is None else pd.DataFrame(table, index=var.index, dtype=bool)
        return ProcessedCells(obs, var, {}, {}, batch_size=2, measured=measured)

    return build


def test_genes_that_one_data_set_lacks_are_not_shared(cells_of):
    cells = cells_of({"b": [0, 1, 1, 1, 1], "c": [0, 1, 0, 1, 1]})
    for positions, expected in {(0, 1): [1] * 5, (0, 2): [0, 1, 1, 1, 1], (3, 1, 5): [0, 1, 0, 1, 1]}.items():
        shared = shared_genes(cells, np.array(positions))
        np.testing.assert_array_equal(shared, np.array(expected, dtype=bool))
    note = left_out(cells, np.array([3, 1, 5]), shared)
    assert note == "2 of 5 genes are left out, as not all data sets measured them: b lacks 1, c lacks 2."
    everywhere = np.ones(5, dtype=bool)
    assert left_out(cells, np.array([0, 1]), everywhere) is None


def test_without_a_table_all_genes_are_shared(cells_of):
    assert shared_genes(cells_of(None), np.arange(6)).tolist() == [True] * 5


def test_data_sets_that_share_no_gene_are_refused(cells_of):
    cells = cells_of({"b": [0, 1, 1, 0, 0], "c": [1, 0, 0, 1, 1]})
    with pytest.raises(DataError, match=r"b lacks 3, c lacks 2\. .* `discern onlinetraining --undo`"):
        shared_genes(cells, np.arange(6))
    assert shared_genes(cells, np.arange(4)).tolist() == [False, True, True, False, False]
