import re

import numpy as np
import pytest

from discern.workflows import validate as validate_module
from discern.workflows.process import process
from discern.workflows.validate import validate


def set_input(**values):
    return lambda content: content["input_ds"].update(values)


@pytest.fixture
def spoiled(counts):
    """A function that changes the stored values of raw counts."""

    def change(values):
        adata = counts()
        adata.X.data = values(adata.X.data.copy())
        return adata

    return change


def first(value):
    return lambda data: np.concatenate([[np.float32(value)], data[1:]]).astype(np.float32)


def test_what_is_kept_is_what_process_keeps(experiment, counts, here):
    adata = counts()
    poor = np.flatnonzero(adata.obs["batch"] == "poor")[:5]
    dense = adata.X.toarray()
    dense[poor, 10:] = 0  # five cells of one batch with few genes
    adata.X = adata.X.__class__(dense)
    one = experiment(set_input(filtering={"min_genes": 20, "min_cells": 3}), adata)
    report = validate(one)
    assert (report.faults, report.exit_code) == ([], 0)
    assert not (here / "exps").exists()
    kept = process(one, with_tfrecords=False)
    text = "\n".join(report.lines)
    assert f"{kept.n_cells} of 80 cells, {kept.n_genes} of 60 genes" in text
    assert kept.batches == {"good": 40, "poor": 35}
    assert "batch 'good': 40 of 40 cells" in text
    assert "batch 'poor': 35 of 40 cells" in text
    assert "one batch" not in text
    assert all(word in text for word in ("memory: process about", "disk: about", "time: about"))


def test_one_batch_alone_is_told(experiment, counts):
    adata = counts()
    report = validate(experiment(adata=adata[adata.obs["batch"] == "good"].copy()))
    assert report.exit_code == 0
    assert any(line.startswith("warning: All cells are of one batch, 'good'") for line in report.lines)


@pytest.mark.parametrize(
    ("change", "fault", "exit_code"),
    [
        (set_input(raw_input=[]), "raw_input names no file", 2),
        (set_input(raw_input=["absent.h5ad"]), "absent.h5ad does not exist", 3),
        (set_input(raw_input=["cells.pdf"]), "cells.pdf does not exist", 3),
        (set_input(raw_input={"cells.h5ad": "donor"}), "Column 'donor', named in raw_input, is missing", 3),
        (set_input(filtering={"min_genes": 61}), "No cell has 61 genes or more", 3),
        (set_input(filtering={"min_genes": 5, "min_cells": 81}), "min_cells", 3),
        (set_input(split={"valid_cells": 0.01}), "gives no validation cell in batch 'good' (40 cells)", 3),
        (lambda content: content.update(hyperparameter_search="s.json"), "s.json does not exist", 2),
    ],
)
def test_each_fault_of_the_parameters_is_told(experiment, here, change, fault, exit_code):
    report = validate(experiment(change))
    assert report.exit_code == exit_code
    assert any(fault in one for one in report.faults), report.faults
    assert not (here / "exps").exists()


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (first(-1), "1 values are negative"),
        (first(np.nan), "1 values are not finite"),
        (first(0.5), "not whole numbers"),
        (np.log1p, "They look log-transformed"),
    ],
)
def test_each_fault_of_the_values_is_told(experiment, spoiled, values, fault):
    report = validate(experiment(adata=spoiled(values)))
    assert report.exit_code == 3
    assert fault in report.faults[0]


def test_fractions_can_be_allowed(experiment, spoiled):
    assert validate(experiment(adata=spoiled(first(0.5))), allow_non_counts=True).faults == []


def test_a_batch_that_would_vanish_is_named(experiment, counts):
    adata = counts()
    dense = adata.X.toarray()
    dense[adata.obs["batch"] == "poor", 3:] = 0
    adata.X = adata.X.__class__(dense)
    report = validate(experiment(set_input(filtering={"min_genes": 10, "min_cells": 3}), adata))
    assert report.faults == ["No cell of batch 'poor' has 10 genes. Lower filtering.min_genes."]
    assert "batch 'poor': 0 of 40 cells" in report.lines


def test_several_faults_are_told_at_once(experiment, counts):
    def change(content):
        content["hyperparameter_search"] = "s.json"
        content["input_ds"]["split"] = {"valid_cells": 0.01}

    report = validate(experiment(change, counts(n_genes=31)))
    assert [fault.split(" ")[0] for fault in report.faults] == [
        "experiments.run.hyperparameter_search:",
        "too",
        "valid_cells",
    ]
    assert report.exit_code == 2


def test_all_unreadable_inputs_are_told(experiment, here):
    (here / "junk.h5ad").write_bytes(b"junk")
    report = validate(experiment(set_input(raw_input=["a.h5ad", "junk.h5ad", "cells.h5ad"])))
    assert len(report.faults) == 2
    assert "Cannot read junk.h5ad" in report.faults[1]
    assert len(report.lines) == 1


def test_two_spellings_of_one_file_are_a_fault(experiment, here):
    (here / "sub").mkdir()
    report = validate(experiment(set_input(raw_input=["cells.h5ad", "sub/../cells.h5ad"])))
    assert report.exit_code == 3
    assert len(report.faults) == 1
    assert "cells.h5ad is given 2 times as raw_input" in report.faults[0]


def test_time_follows_from_a_share_of_the_product_rate(experiment, monkeypatch):
    """1e5 multiplications per second: the weights of the network alone decide."""
    monkeypatch.setattr(validate_module, "_matrix_product_rate", lambda: 1e5)
    lines = validate(experiment()).lines
    weights = 60 * 8 + 8 * 4 + 2 * 8 + 8 * 120
    seconds = 80 * weights * 6 / (0.6 * 1e5) + 0.01 * 80 / 32
    (text,) = re.findall(r"time: about (\d+) s per epoch", "\n".join(lines))
    assert int(text) == round(seconds)


def test_the_product_rate_is_measured():
    assert 1e8 < validate_module._matrix_product_rate(256) < 1e15
