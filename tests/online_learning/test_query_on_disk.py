"""New cells whose counts are on disk are prepared as in memory."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError
from discern.io import row_readers
from discern.io.experiment_folder import ExperimentFolder
from discern.online_learning import OnlineWAERecipe
from discern.online_learning.reference import read_reference
from discern.preprocessing.cells import OnDisk
from discern.workers import ThisProcess, worker_processes


@pytest.fixture
def few_cells(monkeypatch):
    """Several pieces, whose sizes divide nothing."""
    monkeypatch.setattr(row_readers, "MAX_CELLS", 37)


@pytest.fixture
def files(tmp_path, query):
    """Three files of different genes, in different orders and forms."""
    rng = np.random.default_rng(0)
    paths = []
    for number, form in enumerate((sparse.csr_matrix, sparse.csc_matrix, np.asarray)):
        part = query[number::3, rng.permutation(query.n_vars)[: query.n_vars - 130 * number]]
        made = anndata.AnnData(form(part.X.toarray()), obs=part.obs.copy(), var=pd.DataFrame(index=part.var_names))
        paths.append(tmp_path / f"part{number}.h5ad")
        made.write_h5ad(paths[-1])
    return paths


@pytest.fixture
def place(tmp_path):
    (tmp_path / "counts").mkdir()
    return OnDisk(tmp_path / "counts", ThisProcess())


def written(recipe, folder):
    recipe()
    recipe.dump(folder)
    recipe.dump_tf_records(folder / "TF_records")
    records = {path.name: path.read_bytes() for path in sorted((folder / "TF_records").iterdir())}
    return anndata.read_h5ad(ExperimentFolder(folder).processed_file), records


def assert_same(one, other):
    for found, expected in ((one.X, other.X), (one.layers["counts"], other.layers["counts"])):
        assert found.dtype == expected.dtype == np.float32
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    pd.testing.assert_frame_equal(one.obs, other.obs)
    pd.testing.assert_frame_equal(one.var, other.var)
    assert set(one.varm) == set(other.varm)
    pd.testing.assert_frame_equal(one.varm["measured"], other.varm["measured"])
    np.testing.assert_array_equal(one.varm["PCs"], other.varm["PCs"])
    assert str(one.uns) == str(other.uns)


def test_disk_gives_the_bytes_of_memory(
    reference, trained_folder, input_section, files, place, few_cells, tmp_path, monkeypatch
):
    annotation = read_reference(ExperimentFolder(trained_folder).processed_file)
    on_disk = OnlineWAERecipe(annotation, input_section, input_files=files, on_disk=place)
    assert on_disk.sc_raw.X is None
    assert len(on_disk.stored(place).pieces) > 3
    found, records = written(on_disk, tmp_path / "disk")
    in_memory = OnlineWAERecipe(reference, input_section, input_files=files)
    expected, expected_records = written(in_memory, tmp_path / "memory")
    assert_same(found, expected)
    assert list(found.varm["measured"].columns) == ["part1", "part2"]
    assert len(records) == 3
    assert records == expected_records
    assert on_disk.gene_report == in_memory.gene_report
    np.testing.assert_array_equal(on_disk.cells_per_gene, (found.X.toarray() > 0).sum(axis=0))
    np.testing.assert_array_equal(in_memory.cells_per_gene, on_disk.cells_per_gene)


def test_worker_processes_change_nothing(reference, input_section, files, few_cells, tmp_path):
    results = []
    for n_workers in (1, 2):
        folder = tmp_path / f"counts{n_workers}"
        folder.mkdir()
        with worker_processes(n_workers) as workers:
            recipe = OnlineWAERecipe(reference, input_section, input_files=files, on_disk=OnDisk(folder, workers))
            results.append(written(recipe, tmp_path / f"of{n_workers}"))
    assert_same(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_genes_are_counted_in_all_genes_of_the_file(reference, input_section, files, place):
    recipe = OnlineWAERecipe(reference, input_section, input_files=files, on_disk=place)
    expected = [(anndata.read_h5ad(path).to_df().to_numpy() > 0).sum(axis=1) for path in files]
    assert recipe.sc_raw.obs["n_genes"].tolist() == np.concatenate(expected).tolist()


def test_a_file_of_which_the_filter_leaves_nothing_is_refused(reference, input_section, files, place):
    section = {**input_section, "filtering": {"min_genes": 1400}}
    with pytest.raises(DataError, match="No cell of batch 'part0'"):
        OnlineWAERecipe(reference, section, input_files=files, on_disk=place)()


def test_too_few_genes_of_one_file_are_refused_by_its_name(reference, input_section, files, place):
    with pytest.raises(DataError, match=r"part2: only 1,2\d\d of the 1,459 genes .* at least 90% are needed"):
        OnlineWAERecipe(reference, input_section, input_files=files, on_disk=place, min_gene_overlap=0.9)
    assert not list(place.folder.iterdir())
