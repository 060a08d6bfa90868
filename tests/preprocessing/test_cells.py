"""The recipe with its counts on disk gives what it gives in memory."""

import anndata
import numpy as np
import pytest
from scipy import sparse

from discern.io import row_readers, stored_records, tfrecord_writer
from discern.preprocessing.cells import OnDisk
from discern.preprocessing.recipe import WAERecipe
from discern.workers import ThisProcess, worker_processes


@pytest.fixture
def files(make_adata, tmp_path):
    forms = (sparse.csr_matrix, sparse.csc_matrix, np.asarray)
    paths = []
    for number, form in enumerate(forms):
        adata = make_adata(50 + 7 * number, seed=number)
        adata = anndata.AnnData(form(adata.X.toarray()), obs=adata.obs, var=adata.var)
        paths.append(tmp_path / f"input{number}.h5ad")
        adata.write_h5ad(paths[-1])
    return paths


@pytest.fixture
def few_cells(monkeypatch):
    """Several pieces and shards, whose sizes divide nothing."""
    monkeypatch.setattr(row_readers, "MAX_CELLS", 11)
    monkeypatch.setattr(tfrecord_writer, "CELLS_PER_SHARD", 23)
    monkeypatch.setattr(stored_records, "CELLS_PER_SHARD", 23)
    monkeypatch.setattr(tfrecord_writer.TFRecordsWriter.__init__, "__defaults__", (23,))


def write(recipe, folder):
    recipe()
    recipe.dump(folder)
    recipe.dump_tf_records(folder / "TF_records")
    records = {path.name: path.read_bytes() for path in sorted((folder / "TF_records").iterdir())}
    return anndata.read_h5ad(folder / "processed_data" / "concatenated_data.h5ad"), records


def assert_same(one, other):
    assert (one.X != other.X).nnz == 0
    assert (one.layers["counts"] != other.layers["counts"]).nnz == 0
    assert one.X.indices.dtype == one.X.indptr.dtype == np.int32
    assert one.obs.equals(other.obs)
    assert list(one.var.columns) == list(other.var.columns)
    for column in one.var:
        np.testing.assert_allclose(one.var[column].to_numpy(float), other.var[column].to_numpy(float), rtol=1e-12)
    np.testing.assert_allclose(one.varm["PCs"], other.varm["PCs"], atol=1e-10)
    settings, others = dict(one.uns["DISCERN"]), dict(other.uns["DISCERN"])
    kernel, other_kernel = settings.pop("mmd_kernel")["all"], others.pop("mmd_kernel")["all"]
    assert kernel == pytest.approx(other_kernel, rel=1e-6)
    assert str(settings) == str(others)
    assert str(one.uns["fixed_scaling"]) == str(other.uns["fixed_scaling"])


def test_disk_gives_what_memory_gives(files, parameters, few_cells, tmp_path):
    (tmp_path / "counts").mkdir()
    on_disk = WAERecipe(parameters, input_files=files, on_disk=OnDisk(tmp_path / "counts", ThisProcess()))
    assert on_disk.sc_raw.X is None
    found, records = write(on_disk, tmp_path / "disk")
    expected, expected_records = write(WAERecipe(parameters, input_files=files), tmp_path / "memory")
    assert_same(found, expected)
    assert len(records) > 5
    assert records == expected_records


def test_the_number_of_workers_changes_no_bit(files, parameters, few_cells, tmp_path):
    results = []
    for n_workers in (1, 2):
        place = tmp_path / f"counts{n_workers}"
        place.mkdir()
        with worker_processes(n_workers) as workers:
            recipe = WAERecipe(parameters, input_files=files, on_disk=OnDisk(place, workers))
            data, records = write(recipe, tmp_path / f"of{n_workers}")
        results.append((data, records))
        assert not any(path.stat().st_size for path in (place / "merged").rglob("*.npz"))
    (one, records), (two, other_records) = results
    assert records == other_records
    assert (one.varm["PCs"] == two.varm["PCs"]).all()
    assert one.var.equals(two.var)
    assert str(one.uns) == str(two.uns)


def test_at_most_one_piece_of_each_input_is_read_at_once(files, parameters, few_cells, tmp_path, monkeypatch):
    (tmp_path / "counts").mkdir()
    read = []
    for kind in (row_readers.StoredSparseRows, row_readers.StoredDenseRows, row_readers.SpooledRows):
        rows = kind.rows

        def remember(self, start, stop, rows=rows):
            read.append(stop - start)
            return rows(self, start, stop)

        monkeypatch.setattr(kind, "rows", remember)
    WAERecipe(parameters, input_files=files, on_disk=OnDisk(tmp_path / "counts", ThisProcess()))
    assert max(read) <= 11
    assert sum(read) == 50 + 57 + 64  # every cell is read once
