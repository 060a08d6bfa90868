"""Processed cells in memory and on disk, seen the same way."""

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem

from discern.errors import DataError, ExperimentError
from discern.io.cell_sources import MemorySource
from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.io.matrix_rows import StoredRows
from discern.io.minibatches import minibatches
from discern.io.processed_cells import ProcessedCells, open_cells, open_own_cells
from discern.io.writing import write_h5ad

EVERYTHING = slice(0, 40)


@pytest.fixture
def data(make_counts, make_processed):
    data = make_processed(make_counts(40, 12))
    data.X = data.layers["counts"].log1p()
    data.obsm["protein_expression"] = pd.DataFrame({"CD3": np.arange(40.0), "CD8": np.nan}, index=data.obs_names)
    return data


@pytest.fixture
def file(data, tmp_path):
    write_h5ad(data, tmp_path / "data.h5ad")
    return tmp_path / "data.h5ad"


def same(cells, data):
    pd.testing.assert_frame_equal(cells.obs, data.obs)
    pd.testing.assert_frame_equal(cells.var, data.var)
    assert (cells.n_obs, cells.n_vars, cells.batches) == (data.n_obs, data.n_vars, data.batches)
    np.testing.assert_array_equal(cells.transform.zeros(data.n_vars), data.zeros)
    assert cells.transform.library_size == data.transform.library_size
    np.testing.assert_array_equal(cells.library_size, data.obs["n_counts"])
    np.testing.assert_array_equal(cells.counts[EVERYTHING].toarray(), data.layers["counts"].toarray())
    np.testing.assert_array_equal(cells.expression[EVERYTHING].toarray(), data.X.toarray())


def test_memory_and_disk_look_the_same(data, file):
    same(ProcessedCells.of(data), data)
    with open_cells(file, batch_size=7) as cells:
        assert cells.batch_size == 7
        assert isinstance(cells.counts, StoredRows)
        assert isinstance(cells.expression, StoredRows)
        same(cells, data)
        assert ProcessedCells.of(cells) is cells


def test_nothing_in_memory_is_copied(data):
    cells = ProcessedCells.of(data)
    assert cells.obs is data.obs
    assert cells.counts._matrix is data.layers["counts"]


@pytest.mark.parametrize("on_disk", [False, True])
def test_genes_in_another_order(data, file, on_disk):
    genes = list(data.var_names[::-1])
    with open_cells(file, 8) as stored:
        cells = (stored if on_disk else ProcessedCells.of(data)).with_genes(genes)
        same(cells, DISCERNData(data[:, genes].copy(), 8))
        same(cells.with_genes(list(data.var_names)), data)


@pytest.mark.parametrize("form", ["csc", "dense"])
def test_files_of_other_programs(data, file, form):
    counts = data.layers["counts"]
    with h5py.File(file, "r+") as stored:
        del stored["layers/counts"]
        write_elem(stored, "layers/counts", counts.tocsc() if form == "csc" else counts.toarray())
    with open_cells(file, 8) as cells:
        same(cells, data)


def test_a_sample_is_read_without_the_other_cells(data, file):
    with open_cells(file, 8) as cells:
        few, every = cells.sample(9), cells.sample(1000)
    chosen = np.sort(np.random.default_rng(0).choice(40, 9, replace=False))
    assert list(few.obs_names) == list(data.obs_names[chosen])
    assert few.batches == data.batches
    np.testing.assert_array_equal(few.layers["counts"].toarray(), data.layers["counts"][chosen].toarray())
    np.testing.assert_array_equal(few.zeros, data.zeros)
    assert few.X is None
    assert every.n_obs == 40


def test_a_sample_takes_the_values_of_its_cells_only(data, file, monkeypatch):
    taken = []
    read = StoredRows.__getitem__
    monkeypatch.setattr(StoredRows, "__getitem__", lambda rows, cells: (taken.append(cells), read(rows, cells))[1])
    with open_cells(file, 8) as cells:
        cells.sample(2)
        assert [cells.stop - cells.start for cells in taken] == [1] * 2
        cells.sample(9)
    assert [cells.stop - cells.start for cells in taken[2:]] == [40]  # so many of them that one piece is read faster


def test_what_is_missing_is_told(data, file):
    with h5py.File(file, "r+") as stored:
        del stored["layers/counts"], stored["X"], stored["obsm/protein_expression"]
    with open_cells(file, 8) as cells:
        assert cells.proteins is None
        with pytest.raises(DataError, match="holds no layer 'counts'"):
            _ = cells.counts
        with pytest.raises(DataError, match="holds no X, so it cannot be kept as raw. Leave it out with --no-raw"):
            _ = cells.expression


def opened(path):
    with open_cells(path, 8):
        pass


def test_an_absent_file(tmp_path):
    with pytest.raises(DataError, match="none.h5ad does not exist"):
        opened(tmp_path / "none.h5ad")
    with (
        pytest.raises(ExperimentError, match="does not exist. Run `discern process` first"),
        open_own_cells(ExperimentFolder(tmp_path), 8),
    ):
        pass


def test_a_truncated_file(file):
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(DataError, match="data.h5ad cannot be read as h5ad"):
        opened(file)


@pytest.mark.parametrize("absent", ["obs/batch", "uns/DISCERN"])
def test_a_file_that_was_not_preprocessed(file, absent):
    with h5py.File(file, "r+") as stored:
        del stored[absent]
        if absent.startswith("obs"):
            columns = stored["obs"].attrs["column-order"]
            stored["obs"].attrs["column-order"] = [name for name in columns if name != "batch"]
    with pytest.raises(DataError, match="data.h5ad was not written by preprocessing"):
        opened(file)


def test_an_experiment_folder(data, tmp_path):
    folder = ExperimentFolder(tmp_path)
    write_h5ad(data, folder.processed_file)
    with open_own_cells(folder, 8) as cells:
        same(cells, data)


def test_errors_inside_the_block_are_left_as_they_are(file):
    with pytest.raises(KeyError, match="mine"), open_cells(file, 8):
        raise KeyError("mine")


@pytest.mark.parametrize("on_disk", [False, True])
def test_genes_that_were_not_measured(data, with_panels, measured_genes, tmp_path, on_disk):
    with_panels(data)
    write_h5ad(data, tmp_path / "data.h5ad")
    expected, reverse = measured_genes(data), np.arange(12)[::-1]
    with open_cells(tmp_path / "data.h5ad", 8) as stored:
        cells = stored if on_disk else ProcessedCells.of(data)
        np.testing.assert_array_equal(cells.panels.measured(EVERYTHING), expected)
        turned = cells.with_genes(list(data.var_names[reverse]))
        np.testing.assert_array_equal(turned.panels.measured(EVERYTHING), expected[:, reverse])
        few = turned.with_genes(["gene1", "gene0"])
        np.testing.assert_array_equal(few.panels.measured(EVERYTHING), expected[:, [1, 0]])
        np.testing.assert_array_equal(few.counts[EVERYTHING].toarray(), data.layers["counts"][:, [1, 0]].toarray())
        assert cells.with_genes(["gene0", "gene3"]).panels is None
        for genes in (None, [4, 1, 0]):
            table = data.varm["measured"] if genes is None else data.varm["measured"].iloc[genes]
            made = cells.measured_varm(genes if genes is None else np.array(genes))["measured"]
            pd.testing.assert_frame_equal(made, table.loc[:, ~table.all()])
        assert cells.measured_varm(np.array([0, 3])) == cells.with_genes(["gene0", "gene3"]).measured_varm() == {}
        sample = cells.sample(9)
    chosen = np.sort(np.random.default_rng(0).choice(40, 9, replace=False))
    np.testing.assert_array_equal(ProcessedCells.of(sample).panels.measured(slice(0, 9)), expected[chosen])
    (minibatch,) = minibatches(MemorySource(sample, sample.batches), sample.transform, 9).as_numpy_iterator()
    np.testing.assert_array_equal(minibatch["measured"], expected[chosen])


def test_data_that_measured_everything_have_no_panels(data, file):
    assert ProcessedCells.of(data).panels is None
    with open_cells(file, 8) as cells:
        assert cells.panels is None
        assert "measured" not in cells.sample(3).varm


def test_a_table_of_measured_genes_that_does_not_fit_is_told(data, with_panels, tmp_path):
    with_panels(data)
    write_h5ad(data, tmp_path / "data.h5ad")
    with h5py.File(tmp_path / "data.h5ad", "r+") as stored:
        table = data.varm["measured"].astype(float)
        del stored["varm/measured"]
        write_elem(stored, "varm/measured", table)
    with open_cells(tmp_path / "data.h5ad", 8) as cells, pytest.raises(DataError, match="something else than true and"):
        _ = cells.panels
