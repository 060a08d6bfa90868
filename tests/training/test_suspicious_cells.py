"""Cells that can break training are told, also where some genes were not measured."""

import numpy as np

from discern.training.suspicious_cells import SuspiciousCells


def test_cells_that_lack_genes_are_read_again(make_data, lack_genes, sources_of):
    data = lack_genes(make_data())
    train, valid = sources_of(data)
    assert SuspiciousCells(train, valid, data.transform, ["old", "new"], 16, 3).of_validation() == ""
    data.obs["n_counts"] = data.obs["n_counts"].where(np.arange(80) != 6, np.nan)
    train, valid = sources_of(data)
    found = SuspiciousCells(train, valid, data.transform, ["old", "new"], 16, 3).of_validation()
    name = data.obs["batch"].iloc[6]
    assert found.startswith(f"among the cells to validate on, a cell of batch '{name}' with library size nan")
    assert ";" not in found
