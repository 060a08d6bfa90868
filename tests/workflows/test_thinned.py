import anndata
import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError
from discern.workflows.process import process
from discern.workflows.thinned import train_thinned

N_CELLS, N_GENES = 80, 60


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    """What the sub-experiment is made of is looked at; processing and training it takes its time."""
    monkeypatch.setattr("discern.workflows.thinned.run_recorded", lambda *arguments: None)


@pytest.fixture
def processed(experiment, counts):
    """A processed experiment with labels ``kind``, and a function that changes its processed file."""
    adata = counts(N_CELLS, N_GENES)
    adata.obs["kind"] = pd.Categorical(np.where(np.arange(N_CELLS) % 3, "T", "B"))
    one = experiment(adata=adata)
    process(one, with_tfrecords=False)

    def change(how):
        data = anndata.read_h5ad(one.folder.processed_file)
        how(data)
        data.write_h5ad(one.folder.processed_file)

    return one, change


def read_counts(thinned):
    return anndata.read_h5ad(thinned.counts_file)


def test_genes_that_some_data_set_did_not_measure_are_left_out(processed, caplog):
    one, change = processed
    whole = read_counts(train_thinned(one, "good", 0.4, "kind"))

    def two_data_sets(data):
        poor = (data.obs["batch"] == "poor").to_numpy()
        data.obs["dataset"] = pd.Categorical(np.where(poor, "query", "cells"))
        data.varm["measured"] = pd.DataFrame({"query": np.arange(data.n_vars) % 4 > 0}, index=data.var_names)

    change(two_data_sets)
    caplog.set_level("INFO")
    found = read_counts(train_thinned(one, "good", 0.4, "kind"))
    assert list(found.var_names) == [name for number, name in enumerate(whole.var_names) if number % 4]
    assert "In the sub-experiment 15 of 60 genes are left out" in caplog.text
    total, before = ((one.X + one.layers["hidden"]).toarray() for one in (found, whole[:, found.var_names]))
    np.testing.assert_array_equal(total, before)


def test_corrected_labels_are_taken(processed):
    one, change = processed
    thinned = train_thinned(one, "good", 0.4, "kind")
    made = thinned.counts_file.stat().st_mtime_ns
    train_thinned(one, "good", 0.4, "kind")
    assert thinned.counts_file.stat().st_mtime_ns == made
    before = read_counts(thinned).obs["kind"]

    def correct(data):
        data.obs["kind"] = pd.Categorical(["B" if cell == before.index[1] else kind for cell, kind in before.items()])

    change(correct)
    train_thinned(one, "good", 0.4, "kind")
    after = read_counts(thinned).obs["kind"]
    assert (before.iloc[1], after.iloc[1]) == ("T", "B")
    assert (before.astype(str) != after.astype(str)).sum() == 1


def test_labels_that_are_not_kept_are_not_looked_at(processed):
    one, change = processed
    thinned = train_thinned(one, "good", 0.4, None)
    made = thinned.counts_file.stat().st_mtime_ns
    change(lambda data: data.obs.pop("kind"))
    train_thinned(one, "good", 0.4, None)
    assert thinned.counts_file.stat().st_mtime_ns == made


def test_hidden_counts_are_read_by_name_and_without_the_other_rows(processed, monkeypatch):
    one, _ = processed
    thinned = train_thinned(one, "good", 0.4, None)
    whole = read_counts(thinned)
    monkeypatch.setattr("anndata.read_h5ad", None)  # reads all rows
    cells, genes = whole.obs_names[[41, 7, 12]], whole.var_names[[9, 3, 30]]
    found = thinned.hidden(cells, genes)
    np.testing.assert_array_equal(found.toarray(), whole[cells, genes].layers["hidden"].toarray())
    assert found.nnz > 0


def test_what_is_no_count_is_not_thinned(processed):
    one, change = processed

    def fractions(data):
        data.layers["counts"] = data.layers["counts"] * 0.5

    change(fractions)
    with pytest.raises(DataError, match=r"are no counts: received .*\.5.* --thin takes single counts away"):
        train_thinned(one, "good", 0.4, None)
